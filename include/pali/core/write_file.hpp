// Bytes to a file, whole or not at all.
#pragma once

#include <pali/core/error.hpp>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace pali::inline PALI_ABI {

/// Replaces the file at `path`, or creates it: writes `<path>.part` first and renames it, so an interrupted or failed write leaves the old file, or none.
/// A symbolic link stays one; its target is replaced. Throws `cannot_write`, also where `path` is a folder, a pipe or a device.
inline void write_file(std::filesystem::path path, std::string_view bytes) {
    namespace fs = std::filesystem;
    std::error_code failure;
    if (const fs::file_status there = fs::status(path, failure); fs::exists(there)) {
        if (fs::is_directory(there)) throw error(errc::cannot_write, {path.string(), ": is a folder; a file is to be written here"});
        if (!fs::is_regular_file(there)) throw error(errc::cannot_write, {path.string(), ": is not a regular file, so it is not replaced"});
        if (fs::path target = fs::canonical(path, failure); !failure) path = std::move(target);
    }
    fs::path part = path;
    part += ".part";
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    failure.clear();
    if (file) fs::rename(part, path, failure);
    if (file && !failure) return;
    std::error_code ignored;
    fs::remove(part, ignored);
    throw error(errc::cannot_write, {path.string(), ": cannot be written; is the folder there, writable and not full?"});
}

/// The same, of bytes.
inline void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

} // namespace pali::inline PALI_ABI
