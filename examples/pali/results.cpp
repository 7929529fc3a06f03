#include "results.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/image/draw.hpp>
#include <pali/image/write.hpp>
#include <pali/objects/labelme.hpp>
#include <pali/objects/write_text.hpp>
#include <pali/objects/yolo.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;

const fs::path& made(const fs::path& folder) {
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (!fs::is_directory(folder)) throw pali::error(pali::errc::cannot_write, {folder.string(), ": is no folder and cannot be made one: ", failed.message()});
    return folder;
}

std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

bool is_jpeg(const fs::path& picture) {
    const std::string ending = picture.extension().string();
    return ending == ".jpg" || ending == ".jpeg" || ending == ".JPG" || ending == ".JPEG";
}

constexpr auto between_writes = std::chrono::seconds(5); // of files that hold all pictures: they are written anew each time

} // namespace

result_folder::result_folder(fs::path folder, const std::string& asked, const result_formats& formats)
    : m_folder(made(folder)), m_formats(formats), m_lines(m_folder / "results.jsonl"), m_categories(text_of(m_folder / "classes.txt")) {
    const fs::path about = m_folder / "asked.txt";
    if (const std::string before = text_of(about); m_lines.size() > 0 && before != asked + '\n')
        throw pali::error(pali::errc::invalid_argument, {m_folder.string(), ": holds answers to another question:\n  then: ",
                                                         before.substr(0, before.find_last_not_of('\n') + 1), "\n  now:  ", asked,
                                                         "\nName another folder by --out, or take this one away"});
    pali::write_text(about, asked + '\n');
    for (const std::string& file : m_lines.files()) stem_of(file);
    if (m_formats.coco) m_coco = fs::exists(m_folder / "coco.json") ? pali::coco_writer::read(m_folder / "coco.json") : pali::coco_writer();
}

bool result_folder::has(const fs::path& picture) const {
    const std::string name = picture.string();
    return m_lines.contains(name) && (!m_coco || m_coco->contains(name));
}

const std::string& result_folder::stem_of(const fs::path& picture) {
    const auto [known, is_new] = m_stem_of.try_emplace(picture.string());
    const std::string stem = picture.stem().string();
    for (std::size_t n = 1; is_new; ++n) { // two folders may hold pictures of one name
        known->second = n == 1 ? stem : stem + '-' + std::to_string(n);
        if (m_stems.insert(known->second).second) break;
    }
    return known->second;
}

std::vector<std::string> result_folder::add(const fs::path& picture, const pali::image& photo, const std::vector<pali::object>& objects, const std::string& text) {
    const std::string& stem = stem_of(picture);
    std::vector<std::string> masks(objects.size());
    for (std::size_t i = 0; i < objects.size(); ++i) {
        const pali::mask& m = objects[i].mask;
        if (m.empty()) continue;
        masks[i] = stem + ".mask" + std::to_string(i + 1) + ".png";
        pali::write_png(m_folder / masks[i], m);
    }
    if (m_formats.drawn) {
        const pali::image drawn = draw_objects(photo, objects);
        if (is_jpeg(picture)) pali::write_jpeg(m_folder / (stem + ".drawn.jpg"), drawn);
        else pali::write_png(m_folder / (stem + ".drawn.png"), drawn);
    }
    pali::picture_objects found{.file = picture.string(), .width = photo.width, .height = photo.height, .objects = objects, .mask_files = masks, .text = text};
    if (m_formats.yolo) {
        pali::write_text(m_folder / (stem + ".txt"), pali::yolo_text(found, m_categories));
        pali::write_text(m_folder / "classes.txt", m_categories.text());
    }
    if (m_formats.labelme) {
        pali::picture_objects beside = found;
        beside.file = fs::absolute(picture).lexically_proximate(fs::absolute(m_folder)).string();
        pali::write_text(m_folder / (stem + ".json"), pali::labelme_text(beside));
    }
    if (m_coco && !m_coco->contains(found.file)) m_coco->add(found);
    if (!m_lines.contains(found.file)) m_lines.add(found);
    if (std::chrono::steady_clock::now() - m_written > between_writes) finish();
    return masks;
}

void result_folder::finish() {
    if (m_coco) m_coco->write(m_folder / "coco.json");
    m_written = std::chrono::steady_clock::now();
}

pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects) {
    std::vector<pali::mark> marks;
    for (const pali::object& o : objects) marks.push_back({.label = o.label, .where = o.box, .inside = o.mask.empty() ? nullptr : &o.mask, .score = o.score});
    return pali::draw(photo, marks);
}
