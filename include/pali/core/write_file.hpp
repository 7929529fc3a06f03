// Writes files atomically: a file is complete or unchanged. append_to_file() appends in place.
#pragma once

#include <pali/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Writes a file in pieces. The data go to `<path>.part`, which finish() renames to `path`. Without finish(), an existing file stays
/// unchanged. Here `path` is the target of a link that is kept.
class file_writer {
public:
    /// What happens to a symbolic link at `path`. kept: the link stays and its target is replaced. replaced: the link is replaced and its
    /// target stays.
    enum class link { kept, replaced };

    /// Opens `<path>.part`. Throws errc::cannot_write, also if `path` is a folder, a pipe or a device.
    explicit file_writer(std::filesystem::path path, link at_path = link::kept) : m_path(std::move(path)) {
        namespace fs = std::filesystem;
        std::error_code failure;
        if (const fs::file_status there = fs::status(m_path, failure); fs::exists(there)) {
            if (fs::is_directory(there))
                throw error(errc::cannot_write, {m_path.string(), ": is a folder, but a file must be written here"});
            if (!fs::is_regular_file(there))
                throw error(errc::cannot_write, {m_path.string(), ": is not a regular file and is not replaced"});
            if (at_path == link::kept)
                if (fs::path target = fs::canonical(m_path, failure); !failure) m_path = std::move(target);
        }
        m_part = m_path;
        m_part += ".part";
        m_file.open(m_part, std::ios::binary | std::ios::trunc);
        if (!m_file) fail();
    }
    /// Removes `<path>.part` unless finish() was called.
    ~file_writer() { remove_part(); }
    file_writer(const file_writer&) = delete;
    file_writer& operator=(const file_writer&) = delete;

    /// Writes bytes at the write position. good() and finish() report failures.
    void write(std::string_view bytes) { m_file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); }
    /// Moves the write position to an offset from the beginning of the file.
    void seek(std::uint64_t offset) { m_file.seekp(static_cast<std::streamoff>(offset)); }
    /// Passes all buffered data to the operating system.
    void flush() { m_file.flush(); }
    /// Whether all operations so far have succeeded.
    [[nodiscard]] bool good() const noexcept { return m_file.good(); }

    /// Closes the file and renames it to `path`. Must be called once, at the end. Throws errc::cannot_write if this or an earlier write
    /// failed.
    void finish() {
        m_file.close();
        std::error_code failure;
        if (m_file) std::filesystem::rename(m_part, m_path, failure);
        if (!m_file || failure) fail();
        m_part.clear();
    }

    /// Removes `<path>.part` and throws errc::cannot_write for this file, with the reason.
    [[noreturn]] void fail(error_text&& why = cannot_be_written) {
        remove_part();
        throw error(errc::cannot_write, {m_path.string(), ": ", std::move(why).str()});
    }

    /// The default reason.
    static constexpr const char* cannot_be_written =
        "cannot be written; check that the folder exists and is writable, and that the disk is not full";

private:
    void remove_part() noexcept {
        if (m_part.empty()) return;
        std::error_code ignored;
        m_file.close();
        if (std::filesystem::is_regular_file(m_part, ignored)) std::filesystem::remove(m_part, ignored);
        m_part.clear();
    }

    std::filesystem::path m_path, m_part;
    std::ofstream m_file;
};

/// Creates or replaces the file at `path`, as file_writer does. Throws errc::cannot_write.
inline void write_file(std::filesystem::path path, std::string_view bytes) {
    file_writer file(std::move(path));
    file.write(bytes);
    file.finish();
}

/// Appends to the file at `path`, or creates it. Throws errc::cannot_write, after removing the bytes that were written.
inline void append_to_file(const std::filesystem::path& path, std::string_view bytes) {
    std::error_code failure;
    const bool is_new = !std::filesystem::exists(path, failure);
    const std::uintmax_t before = is_new ? 0 : std::filesystem::file_size(path, failure);
    std::ofstream out(path, std::ios::binary | std::ios::app);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (out) return;
    if (!failure) std::filesystem::resize_file(path, before, failure); // a partial write would corrupt later appends
    throw error(errc::cannot_write, {path.string(), ": ", file_writer::cannot_be_written});
}

/// Same, for std::byte.
inline void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}}} // namespace pali::PALI_ABI::core
