// Checks that a file or folder exists. Included by bodies only.
#pragma once

#include <pali/core/error.hpp>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Returns the status of `path`. Throws errc::cannot_open with `advice` if the path does not exist; `kind` ("file", "folder") is the word
/// for it in the message. Throws errc::cannot_open with the system's message if existence cannot be determined: a parent folder may not be
/// searchable, or links may form a cycle.
inline std::filesystem::file_status require_path(const std::filesystem::path& path, std::string_view kind, std::string_view advice = {}) {
    std::error_code failure;
    const std::filesystem::file_status status =
        std::filesystem::status(path, failure); // follows symbolic links, which the Hugging Face cache uses for all files
    if (std::filesystem::exists(status)) return status;
    if (status.type() == std::filesystem::file_type::not_found) throw error(errc::cannot_open, {path.string(), ": no such ", kind, advice});
    throw error(errc::cannot_open, {path.string(), ": cannot be reached: ", failure.message()});
}

/// Opens a regular file for reading. Throws errc::cannot_open.
[[nodiscard]] inline std::ifstream open_file(const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(require_path(path, "file")))
        throw error(errc::cannot_open, {path.string(), ": is not a regular file"});
    std::ifstream file(path, std::ios::binary);
    if (!file) throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return file;
}

}}} // namespace pali::PALI_ABI::core
