// A text to a file, whole or not at all.
#pragma once

#include <pali/core/error.hpp>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace pali::inline PALI_ABI {

/// Writes `text` over a file that may be there: beside it first, as `<name>.part`, and then in its place, so that who stops in between leaves
/// the old one. Throws `cannot_write`.
inline void write_text(const std::filesystem::path& path, std::string_view text) {
    std::filesystem::path part = path;
    part += ".part";
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    std::error_code failure;
    if (file) std::filesystem::rename(part, path, failure);
    if (file && !failure) return;
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    throw error(errc::cannot_write, {path.string(), ": cannot be written; is the folder there, writable and not full?"});
}

} // namespace pali::inline PALI_ABI
