// Memory from the operating system: read-only file mappings and anonymous pages. Only this file and core/system call the system directly.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <filesystem>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace files {

/// A whole file, mmapped read-only. Pages come from the page cache on first access and are shared with all processes that map the file.
/// Truncating the file while it is mapped makes the next read fault (SIGBUS on POSIX): replace files by renaming.
class mapped_file {
public:
    /// No file; bytes() is empty.
    mapped_file() noexcept = default;
    /// Maps `path`. Throws errc::cannot_open if it is missing, not a regular file, unreadable, or too large for the address space.
    explicit mapped_file(std::filesystem::path path);
    ~mapped_file();
    /// Moves the mapping; `other` becomes empty.
    mapped_file(mapped_file&& other) noexcept;
    /// Swaps the mappings.
    mapped_file& operator=(mapped_file&& other) noexcept;
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;

    /// The contents, page-aligned. Moving the object does not change the address.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }
    /// The path as given.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

    /// Hints that `part` of bytes() will not be read again soon: its whole pages leave the resident set of the process and return on the
    /// next access. Partial pages at the ends are kept. Never fails.
    void forget(std::span<const std::byte> part) const noexcept;

private:
    std::filesystem::path m_path;
    const std::byte* m_data = nullptr;
    std::size_t m_size = 0;
};

/// Zeroed anonymous memory in whole pages, on huge pages if the system grants them. Reading weights from it is faster than from a mapping.
class page_memory {
public:
    /// No memory; bytes() is empty.
    page_memory() noexcept = default;
    /// Allocates `size` bytes. Throws std::bad_alloc.
    explicit page_memory(std::size_t size);
    ~page_memory();
    /// Moves the memory; `other` becomes empty.
    page_memory(page_memory&& other) noexcept;
    /// Swaps the memory.
    page_memory& operator=(page_memory&& other) noexcept;
    page_memory(const page_memory&) = delete;
    page_memory& operator=(const page_memory&) = delete;

    /// The memory, page-aligned; aligned to 2 MiB where huge pages are requested.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {m_data, m_size}; }
    /// The memory, read-only.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }

private:
    std::byte* m_data = nullptr;
    std::size_t m_size = 0;
    void* m_mapping = nullptr; // start of the mapping; m_data is this rounded up to a huge page
    std::size_t m_mapping_size = 0;
};

}}} // namespace pali::PALI_ABI::files

#ifndef PALI_COMPILED
#  include <pali/files/mmap.ipp>
#endif
