// Enumerates the images given to a command: files, folders, names on standard input.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Iterates over images in the given order. A folder stands for its files with an image extension, sorted by name; "-" stands for names on
/// standard input, one per line, read on demand.
class image_list {
public:
    /// Lists folders, with subfolders if `recursive`, without opening files. Reports on standard error how many entries were skipped: other
    /// files, macOS companion files ("._name"), subfolders, links to folders, pipes. A broken link is listed, so that reading it reports
    /// the error. An unreadable subfolder is reported and skipped. Throws pali::error if a given folder is unreadable or has no images.
    explicit image_list(const std::vector<std::string>& given, bool recursive = false);

    /// The next image; std::nullopt at the end.
    [[nodiscard]] std::optional<std::filesystem::path> next();
    /// The images that are known before standard input is read.
    [[nodiscard]] std::span<const std::filesystem::path> known() const noexcept { return m_names; }
    /// Whether a subfolder was unreadable, so that images may be missing.
    [[nodiscard]] bool is_incomplete() const noexcept { return m_incomplete; }
    /// Total number of images; std::nullopt while standard input may name more.
    [[nodiscard]] std::optional<std::size_t> count() const;

private:
    void add_folder(const std::filesystem::path& folder, bool recursive);

    std::vector<std::filesystem::path> m_names;
    std::size_t m_next = 0;
    bool m_standard_input = false, m_incomplete = false;
};
