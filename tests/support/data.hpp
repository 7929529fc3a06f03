// Paths of test data: goldens in the source tree, and optional data next to it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#ifndef PALI_SOURCE_DIR
#  error "the build defines PALI_SOURCE_DIR, the top of the source tree"
#endif

namespace pali::test {

/// tests/data/<name>
inline std::filesystem::path data_path(const std::string& name) { return std::filesystem::path(PALI_SOURCE_DIR) / "tests" / "data" / name; }

/// A file of the source tree.
inline std::filesystem::path source_path(const std::string& name) { return std::filesystem::path(PALI_SOURCE_DIR) / name; }

/// A file of the optional folder `shared` next to the source tree, with additional test data.
inline std::optional<std::filesystem::path> shared_path(const std::string& name) {
    auto path = std::filesystem::path(PALI_SOURCE_DIR) / ".." / "shared" / name;
    if (!std::filesystem::exists(path)) return std::nullopt;
    return path;
}

} // namespace pali::test
