// A file or folder that has to be there. For bodies.
#pragma once

#include <pali/core/error.hpp>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace detail {

/// What is at `path`. Throws errc::cannot_open where there is no such `kind` ("file", "folder"), with `advice` behind it, and where nobody
/// can tell, with what the system says: a folder on the way may not be searched, links may lead in a circle.
inline std::filesystem::file_status require_path(const std::filesystem::path& path, std::string_view kind, std::string_view advice = {}) {
    std::error_code failure;
    const std::filesystem::file_status status =
        std::filesystem::status(path, failure); // follows links: Hugging Face's cache is made of them
    if (std::filesystem::exists(status)) return status;
    if (status.type() == std::filesystem::file_type::not_found)
        throw error(errc::cannot_open, {path.string(), ": there is no such ", kind, advice});
    throw error(errc::cannot_open, {path.string(), ": cannot be reached: ", failure.message()});
}

/// A regular file, open to be read. Throws errc::cannot_open.
[[nodiscard]] inline std::ifstream open_file(const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(require_path(path, "file")))
        throw error(errc::cannot_open, {path.string(), ": is no regular file"});
    std::ifstream file(path, std::ios::binary);
    if (!file) throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return file;
}

}}} // namespace pali::PALI_ABI::detail
