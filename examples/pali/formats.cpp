// Generates results.jsonl, coco.json, and the YOLO and labelme files from the answers of all processes.
#include "file_content.hpp"
#include "report.hpp"
#include "results.hpp"

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/objects/coco_file.hpp>
#include <pali/objects/constraint.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/labelme.hpp>
#include <pali/objects/yolo.hpp>

#include <algorithm>
#include <optional>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::add_name;

/// Creates a relative symlink to an image, or a copy if the file system has no links.
void link_image(const fs::path& target, const fs::path& link, const fs::path& image) {
    std::error_code failed;
    fs::create_directories(link.parent_path(), failed);
    if (fs::read_symlink(link, failed) == target && !failed) return;
    fs::remove(link, failed);
    fs::create_symlink(target, link, failed);
    if (!failed) return;
    fs::copy_file(image, link, fs::copy_options::overwrite_existing, failed);
    if (failed)
        throw pali::error(pali::errc::cannot_write,
                          {link.string(), ": cannot be created as a link to the image or a copy of it: ", failed.message()});
}

} // namespace

void result_folder::finish() {
    const claims::lock alone(*m_claims);
    m_claims->forget_the_dead();
    m_answers.refresh();
    const json formats = json::parse(content_of(m_state / "formats.json"), nullptr, false);
    const fs::path done = m_state / "written";
    json finished = formats;
    finished["state"] = m_answers.state();
    const std::string state = line_of(finished) + '\n';
    std::error_code unknown;
    const auto is_there = [&](const char* format, const char* file) { return !formats.contains(format) || !is_lost(file); };
    const bool has_labels = !formats.contains("labelme") || fs::exists(m_folder / "labelme", unknown);
    const bool has_lines = m_answers.size() == 0 ? fs::exists(m_folder / "results.jsonl", unknown) : !is_lost("results.jsonl");
    if (content_of(done) == state && has_lines && has_labels && is_there("coco", "coco.json") && is_there("yolo", "data.yaml")) return;
    write_formats(formats);
    pali::core::write_file(done, state);
}

void result_folder::write_formats(const json& formats) {
    const bool coco = formats.contains("coco"), yolo = formats.contains("yolo"), labelme = formats.contains("labelme"),
               points = coco || yolo || labelme;
    const auto order = names_in_results(m_answers, folder_in(formats));

    std::vector<std::string> files{"results.jsonl"};
    if (coco) files.emplace_back("coco.json");
    if (yolo) files.emplace_back("data.yaml");
    record(files);

    // Both files are written incrementally, because the results of a million images would not fit into memory.
    pali::core::file_writer lines(m_folder / "results.jsonl");
    std::optional<pali::coco_file> data;
    if (coco) data.emplace(m_folder / "coco.json", static_cast<pali::coco_masks>(formats.at("coco").get<int>()));
    pali::category_list classes;
    for (const std::string& label : pali::objects::asked_labels(m_question.value("things", ""))) { // in prompt order, found or not
        if (data) data->declare(label);
        static_cast<void>(classes.number_of(label));
    }
    const pali::yolo_form form = m_question.value("task", "") == "segment" ? pali::yolo_form::polygons : pali::yolo_form::boxes;
    for (const auto& [file, key] : order) {
        const json line = m_answers.read(key);
        const json& answer = line.at("answer");
        json shown;
        add_name(shown, "file", file);
        shown.update(answer);
        lines.write(line_of(shown) + '\n');
        if (!points) continue;
        const std::vector<pali::object> objects = objects_of(line);
        pali::image_objects found{.file = file, .width = answer.at("width"), .height = answer.at("height"), .objects = objects};
        if (data) data->add(found);
        if (!yolo && !labelme) continue;
        const std::string found_at = place_now(key),
                          at = found_at.empty() ? key : found_at; // the images of collected answers may not exist on this machine
        const image_name image{
            .path = m_folder / at, .given = file, .place = at, .name = m_question.contains("collected") ? key : name_in(key), .key = key};
        const auto seen_from = [&](const fs::path& name) {
            return fs::path(at).is_absolute() ? fs::path(at) : fs::path(at).lexically_relative(name.parent_path());
        };
        std::string stem = pali::objects::name_of(line, "stem");
        if (stem.empty()) stem = stem_of(image);
        if (yolo) {
            const fs::path label = fs::path("labels") / (stem + ".txt"),
                           link = fs::path("images") / (stem + image.path.extension().string());
            const bool in_place = is_in_place(link.generic_string(), image.path);
            record(in_place ? std::vector{label.generic_string()} : std::vector{label.generic_string(), link.generic_string()});
            made((m_folder / label).parent_path());
            pali::core::write_file(m_folder / label, pali::yolo_text(found, classes, form));
            if (!in_place) link_image(seen_from(link), m_folder / link, image.path);
        }
        if (labelme) {
            const fs::path name = fs::path("labelme") / (stem + ".json");
            std::error_code unknown; // an existing file is kept: it may have been corrected by hand, and the answer has not changed
            if (!m_overwrite && m_answers.wrote(name.generic_string()) && fs::exists(m_folder / name, unknown)) continue;
            record({name.generic_string()});
            made((m_folder / name).parent_path());
            found.file = seen_from(name).generic_string();
            pali::core::write_file(m_folder / name, pali::labelme_text(found));
        }
    }
    lines.finish();
    if (data) data->finish();
    if (yolo) { // an absolute path, because trainers resolve relative paths against their own folders
        std::string text = "# Objects found by pali. Both sets contain all images: split them before training.\npath: " +
                           json(fs::absolute(m_folder).lexically_normal().string()).dump(-1, ' ', false, json::error_handler_t::replace) +
                           "\ntrain: images\nval: images\nnames:\n";
        for (std::size_t i = 0; i < classes.names().size(); ++i)
            text += "  " + std::to_string(i) + ": " + json(classes.names()[i]).dump() + '\n';
        pali::core::write_file(m_folder / "data.yaml", text);
    }
}
