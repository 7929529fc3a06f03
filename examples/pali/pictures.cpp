#include "pictures.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

namespace {

namespace fs = std::filesystem;

/// What read_image reads, by the names that such files have.
bool is_picture(const fs::path& path) {
    constexpr std::array<std::string_view, 12> endings{".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tga", ".pnm", ".ppm", ".pgm", ".pbm", ".jfif"};
    std::string ending = path.extension().string();
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

} // namespace

picture_list::picture_list(const std::vector<std::string>& given) {
    for (const std::string& name : given) {
        std::error_code failed;
        if (name == "-") {
            m_standard_input = true;
        } else if (fs::is_directory(name, failed)) {
            std::vector<fs::path> found;
            for (fs::directory_iterator entry(name, failed), end; !failed && entry != end; entry.increment(failed)) {
                std::error_code unknown;
                if (entry->is_regular_file(unknown) && is_picture(entry->path())) found.push_back(entry->path());
            }
            if (failed) throw pali::error(pali::errc::cannot_open, {pali::in_quotes(name), ": ", failed.message()});
            if (found.empty()) throw pali::error(pali::errc::cannot_open, {pali::in_quotes(name), " is a folder without pictures"});
            std::sort(found.begin(), found.end());
            m_names.insert(m_names.end(), found.begin(), found.end());
        } else {
            m_names.emplace_back(name);
        }
    }
}

std::optional<fs::path> picture_list::next() {
    if (m_next < m_names.size()) return m_names[m_next++];
    for (std::string line; m_standard_input && std::getline(std::cin, line);) {
        if (line.ends_with('\r')) line.pop_back();
        if (!line.empty()) return line;
    }
    m_standard_input = false;
    return std::nullopt;
}

std::optional<std::size_t> picture_list::count() const {
    if (m_standard_input) return std::nullopt;
    return m_names.size();
}
