// Detects Git LFS pointers. A clone without LFS has a text of three lines in place of each large file.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/macros.hpp>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Whether `contents`, a file or its first 64 bytes, is a Git LFS pointer. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
[[nodiscard]] constexpr bool is_lfs_pointer(std::string_view contents) noexcept {
    return contents.starts_with("version https://git-lfs.github.com/spec/");
}

/// Text of the message for a pointer, appended to the file name.
inline constexpr const char* lfs_pointer_words =
    ": is a Git LFS pointer, not the file itself; run git lfs pull in the folder, or download the file";

/// Throws errc::malformed_file if the file is a pointer. Ignores a missing file and any other content, which the reader of the file
/// reports.
inline void refuse_lfs_pointer(const std::filesystem::path& path) {
    std::error_code unknown;
    if (!std::filesystem::is_regular_file(path, unknown)) return;
    char begin[64]{};
    std::ifstream(path, std::ios::binary).read(begin, sizeof begin);
    if (is_lfs_pointer(std::string_view(begin, sizeof begin))) throw error(errc::malformed_file, {path.string(), lfs_pointer_words});
}

}}} // namespace pali::PALI_ABI::core
