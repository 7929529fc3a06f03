// Memory from the operating system: a file mapped for reading, and pages of one's own. With core/system, the only code that asks it
// directly.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <filesystem>
#include <span>

namespace pali { inline namespace PALI_ABI {

/// A whole file, mapped read-only: pages come from the page cache when they are touched, and are shared with every process that maps
/// the file. Who shortens the file while it is mapped causes a fault on the next read: replace files by renaming, as programs do.
class mapped_file {
public:
    /// No file: no bytes.
    mapped_file() noexcept = default;
    /// Throws errc::cannot_open when `path` is missing, no regular file, unreadable, or does not fit into the address space.
    explicit mapped_file(std::filesystem::path path);
    ~mapped_file();
    /// Leaves `other` without a file.
    mapped_file(mapped_file&& other) noexcept;
    /// Exchanges the files.
    mapped_file& operator=(mapped_file&& other) noexcept;
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;

    /// The contents; begins on a page boundary. Stays where it is when the object is moved.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }
    /// As it was given.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

    /// Tells the system that this process has read `part` of bytes() and will not soon again: its pages no longer count as memory of the
    /// process, and come back when they are touched. Only whole pages within `part`; bytes of others are left alone. Never fails.
    void forget(std::span<const std::byte> part) const noexcept;

private:
    std::filesystem::path m_path;
    const std::byte* m_data = nullptr;
    std::size_t m_size = 0;
};

/// Zeroed memory in whole pages, on huge pages where the system grants them: weights read from there come faster than from a mapping.
class page_memory {
public:
    /// No memory: no bytes.
    page_memory() noexcept = default;
    /// `size` bytes. Throws std::bad_alloc.
    explicit page_memory(std::size_t size);
    ~page_memory();
    /// Leaves `other` without memory.
    page_memory(page_memory&& other) noexcept;
    /// Exchanges the memories.
    page_memory& operator=(page_memory&& other) noexcept;
    page_memory(const page_memory&) = delete;
    page_memory& operator=(const page_memory&) = delete;

    /// Aligned to a page at least; to 2 MiB where huge pages are asked for.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {m_data, m_size}; }
    /// The same, to read.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }

private:
    std::byte* m_data = nullptr;
    std::size_t m_size = 0;
    void* m_mapping = nullptr; // what the system gave: begins before m_data where that was moved up to a huge page
    std::size_t m_mapping_size = 0;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/mmap.ipp>
#endif
