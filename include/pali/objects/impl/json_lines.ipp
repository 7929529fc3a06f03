// Implementation of json_lines.hpp.
#pragma once

#include <pali/core/require_path.ipp>
#include <pali/core/write_file.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/json_lines.hpp>

#include <cstdint>
#include <fstream>
#include <string_view>
#include <system_error>

namespace pali { inline namespace PALI_ABI {

PALI_INLINE std::string objects_json(const image_objects& image) {
    using json = nlohmann::ordered_json;
    if (!image.mask_files.empty() && image.mask_files.size() != image.objects.size())
        throw error(errc::invalid_argument, {"objects_json: ", image.mask_files.size(), " mask files for ", image.objects.size(),
                                             " objects; pass one for each object, or none"});
    json objects = json::array();
    for (std::size_t i = 0; i < image.objects.size(); ++i) {
        const object& o = image.objects[i];
        json box = json::array();
        for (const float v : {o.box.x0, o.box.y0, o.box.x1, o.box.y1}) box.push_back(objects::to_hundredths(static_cast<double>(v)));
        objects.push_back({{"label", objects::utf8_of(o.label)}, {"score", objects::score_value(o.score)}, {"box", std::move(box)}});
        if (!image.mask_files.empty() && !image.mask_files[i].empty()) objects.back()["mask"] = objects::utf8_of(image.mask_files[i]);
    }
    json line;
    objects::add_name(line, "file", image.file);
    line["width"] = image.width;
    line["height"] = image.height;
    line["objects"] = std::move(objects);
    if (!image.text.empty()) line["text"] = objects::utf8_of(image.text);
    return line.dump();
}

namespace objects {

/// The file that a line describes; empty if the line is not such an object.
[[nodiscard]] PALI_INLINE std::string file_of_line(const std::string& line) {
    return name_of(nlohmann::ordered_json::parse(line, nullptr, false), "file");
}

} // namespace objects

PALI_INLINE json_lines::json_lines(const std::filesystem::path& path) : m_path(path) {
    constexpr std::string_view beginning = "{\"file\":";
    std::error_code failure;
    if (!std::filesystem::exists(path, failure)) return;
    std::ifstream in = core::open_file(path);
    std::uintmax_t whole = 0; // bytes of complete lines
    std::size_t number = 1;
    for (std::string line; std::getline(in, line); ++number) {
        const std::string file = objects::file_of_line(line);
        const bool is_last = in.eof(); // the line does not end with a line break
        // Removes the line only if it looks like one of ours, because `path` may name another file by mistake.
        const bool is_ours = beginning.starts_with(std::string_view(line).substr(0, beginning.size()));
        if (is_last && file.empty() && is_ours) {
            in.close();
            std::filesystem::resize_file(path, whole, failure);
            if (failure) throw error(errc::cannot_write, {path.string(), ": cannot remove the incomplete last line"});
            return;
        }
        if (file.empty() && !line.empty())
            throw error(errc::malformed_file, {path.string(), ": line ", number, " is not a JSON object with a \"file\""});
        if (!line.empty()) note(file);
        if (is_last && !line.empty()) core::append_to_file(path, "\n");
        whole += line.size() + 1;
    }
    if (in.bad()) throw error(errc::cannot_open, {path.string(), ": cannot be read to the end"});
}

PALI_INLINE void json_lines::note(const std::string& file) {
    if (m_files.insert(file).second) m_order.push_back(file);
}

PALI_INLINE bool json_lines::contains(const std::string& file) const { return m_files.contains(file); }

PALI_INLINE void json_lines::add(const image_objects& image) {
    if (image.file.empty() || m_files.contains(image.file))
        throw error(errc::invalid_argument, {"json_lines: ", core::in_quotes(image.file), " is empty or was added before"});
    core::append_to_file(m_path, objects_json(image) + '\n');
    note(image.file);
}

}} // namespace pali::PALI_ABI
