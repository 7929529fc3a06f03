// The pictures that a command is given: files, folders, names on standard input.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Goes through pictures in the order given; a folder stands for the pictures in it, in the order of their names, "-" for the names on standard input, a line
/// each, read as they come.
class picture_list {
public:
    /// Nothing is opened but folders. Throws pali::error for one that cannot be read or has no pictures.
    explicit picture_list(const std::vector<std::string>& given);

    /// The next one, or nothing.
    [[nodiscard]] std::optional<std::filesystem::path> next();
    /// Those that are known before standard input is read.
    [[nodiscard]] std::span<const std::filesystem::path> known() const noexcept { return m_names; }
    /// How many there are in all; nothing while standard input may bring more.
    [[nodiscard]] std::optional<std::size_t> count() const;

private:
    std::vector<std::filesystem::path> m_names;
    std::size_t m_next = 0;
    bool m_standard_input = false;
};
