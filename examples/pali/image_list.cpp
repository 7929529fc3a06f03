#include "image_list.hpp"

#include "answers.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <string_view>
#include <utility>

namespace {

namespace fs = std::filesystem;

/// Whether the file has an extension of a format that read_image supports in some build.
bool is_image(const fs::path& path) {
    constexpr std::array<std::string_view, 19> endings{".jpg",  ".jpeg", ".jfif", ".mpo", ".png",  ".apng", ".webp",
                                                       ".heic", ".heif", ".avif", ".tif", ".tiff", ".gif",  ".bmp",
                                                       ".tga",  ".pnm",  ".ppm",  ".pgm", ".pbm"};
    std::string ending = path.extension().string();
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

/// Counts of entries in a folder that are not listed.
struct skipped_entries {
    std::size_t files = 0, pipes = 0, metadata = 0, folders = 0, links = 0, unreadable = 0;

    /// "3 other files, 2 files of macOS (._*) and 1 subfolder (--recursive reads subfolders)"; empty if there are none.
    [[nodiscard]] std::string describe() const {
        std::vector<std::string> parts;
        const auto add = [&](std::size_t count, const char* one, const char* more, const char* behind) {
            if (count > 0) parts.push_back(std::to_string(count) + (count == 1 ? one : more) + behind);
        };
        add(files, " other file", " other files", "");
        add(pipes, " pipe or device with an image file name", " pipes or devices with image file names", "");
        add(metadata, " macOS metadata file", " macOS metadata files", " (._*)");
        add(folders, " subfolder", " subfolders", " (--recursive reads subfolders)");
        add(links, " link to a folder", " links to folders", " (not followed: pass the target folder)");
        add(unreadable, " unreadable subfolder", " unreadable subfolders", "");
        std::string text;
        for (std::size_t i = 0; i < parts.size(); ++i) text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
        return text;
    }
};

/// The files that runs of pali wrote into a folder and its subfolders. These masks and drawings are not input images.
class written_files {
public:
    explicit written_files(const fs::path& folder) { look_into(folder); }

    /// Adds a folder that may hold results.
    void look_into(const fs::path& folder) {
        std::error_code unknown;
        if (fs::is_directory(folder / ".pali" / "answers", unknown)) m_runs.emplace_back(folder, answers(folder / ".pali"));
    }
    [[nodiscard]] bool has(const fs::path& file) const {
        return std::any_of(m_runs.begin(), m_runs.end(),
                           [&](const auto& run) { return run.second.wrote(file.lexically_relative(run.first).generic_string()); });
    }

private:
    std::vector<std::pair<fs::path, answers>> m_runs;
};

/// Appends the images of a folder to `found`. Recursion does not follow links to folders.
class folder_lister {
public:
    folder_lister(const fs::path& folder, bool recursive, std::vector<fs::path>& found, skipped_entries& skipped)
        : m_recursive(recursive), m_found(found), m_skipped(skipped), m_ours(folder) {
        if (const std::error_code failed = list(folder))
            throw pali::error(pali::errc::cannot_open, {pali::core::in_quotes(folder.string()), ": ", failed.message()});
    }

private:
    std::error_code list(const fs::path& folder) {
        std::error_code failed;
        std::vector<fs::path> inner; // listed after this folder is closed, to save file descriptors
        for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) look_at(*entry, inner);
        for (const fs::path& subfolder : inner)
            if (const std::error_code why = list(subfolder)) {
                ++m_skipped.unreadable;
                std::cerr << "pali: " << subfolder.string() << ": the folder cannot be read: " << why.message() << '\n';
            }
        return failed;
    }

    void look_at(const fs::directory_entry& entry, std::vector<fs::path>& inner) {
        std::error_code unknown;
        const bool is_folder = entry.is_directory(unknown);
        if (is_folder && entry.path().filename() == ".pali") return;
        if (m_recursive && is_folder) m_ours.look_into(entry.path());
        if (m_ours.has(entry.path())) return;
        const bool is_link = entry.is_symlink(unknown);
        if (is_folder && is_link) ++m_skipped.links;
        else if (is_folder && m_recursive) inner.push_back(entry.path());
        else if (is_folder) ++m_skipped.folders;
        else if (entry.path().filename().string().starts_with("._")) ++m_skipped.metadata;
        else if (is_image(entry.path()) && (entry.is_regular_file(unknown) || (is_link && !entry.exists(unknown))))
            m_found.push_back(entry.path()); // a broken link is reported when it is read
        else if (is_image(entry.path())) ++m_skipped.pipes;
        else ++m_skipped.files;
    }

    bool m_recursive;
    std::vector<fs::path>& m_found;
    skipped_entries& m_skipped;
    written_files m_ours;
};

} // namespace

image_list::image_list(const std::vector<std::string>& given, bool recursive) {
    for (const std::string& name : given) {
        std::error_code failed;
        if (name == "-") m_standard_input = true;
        else if (fs::is_directory(name, failed)) add_folder(name, recursive);
        else m_names.emplace_back(name);
    }
}

void image_list::add_folder(const fs::path& folder, bool recursive) {
    std::vector<fs::path> found;
    skipped_entries skipped;
    folder_lister(folder, recursive, found, skipped);
    m_incomplete = m_incomplete || skipped.unreadable > 0;
    const std::string besides = skipped.describe();
    if (found.empty())
        throw pali::error(pali::errc::cannot_open, {pali::core::in_quotes(folder.string()), " is a folder without images",
                                                    besides.empty() ? "" : "; it contains ", besides});
    if (!besides.empty())
        std::cerr << "pali: " << folder.string() << ": " << found.size() << (found.size() == 1 ? " image" : " images") << "; skipped "
                  << besides << '\n';
    std::sort(found.begin(), found.end());
    m_names.insert(m_names.end(), found.begin(), found.end());
}

std::optional<fs::path> image_list::next() {
    if (m_next < m_names.size()) return m_names[m_next++];
    for (std::string line; m_standard_input && std::getline(std::cin, line);) {
        if (line.find('\0') != std::string::npos)
            throw pali::error(pali::errc::invalid_argument,
                              "standard input contains a zero byte: names are read one per line, so omit find's -print0 and xargs' -0");
        if (line.ends_with('\r')) line.pop_back();
        if (!line.empty()) return line;
    }
    if (m_standard_input && std::ferror(stdin) != 0) throw pali::error(pali::errc::cannot_open, "standard input cannot be read");
    m_standard_input = false;
    return std::nullopt;
}

std::optional<std::size_t> image_list::count() const {
    if (m_standard_input) return std::nullopt;
    return m_names.size();
}
