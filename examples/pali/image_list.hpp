// The images that a command is given: files, folders, names on standard input.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Goes through images in the order given. A folder stands for the files in it that have an image's extension, in the order of their
/// names; "-" stands for the names on standard input, one per line, read as they come.
class image_list {
public:
    /// Lists folders, with their subfolders if `recursive`, and opens no file. What is skipped in a folder is counted on standard error:
    /// other files, files that macOS puts beside others ("._name"), subfolders, links to folders, pipes. A link that leads nowhere is
    /// listed: reading it says so. A subfolder that cannot be read is reported there and passed over. Throws pali::error for a given folder
    /// that cannot be read or has no images.
    explicit image_list(const std::vector<std::string>& given, bool recursive = false);

    /// The next one, or nothing.
    [[nodiscard]] std::optional<std::filesystem::path> next();
    /// Those that are known before standard input is read.
    [[nodiscard]] std::span<const std::filesystem::path> known() const noexcept { return m_names; }
    /// Whether a subfolder could not be read: images may be missing.
    [[nodiscard]] bool is_incomplete() const noexcept { return m_incomplete; }
    /// How many there are in all; nothing while standard input may bring more.
    [[nodiscard]] std::optional<std::size_t> count() const;

private:
    void add_folder(const std::filesystem::path& folder, bool recursive);

    std::vector<std::filesystem::path> m_names;
    std::size_t m_next = 0;
    bool m_standard_input = false, m_incomplete = false;
};
