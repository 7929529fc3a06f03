#include "results.hpp"

#include "file_content.hpp"
#include "report.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>
#include <pali/core/write_file.hpp>
#include <pali/image/draw.hpp>
#include <pali/image/write.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::object_detail::add_name;
namespace stored = pali::object_detail;

bool is_jpeg(const fs::path& picture) {
    const std::string ending = picture.extension().string();
    return ending == ".jpg" || ending == ".jpeg" || ending == ".JPG" || ending == ".JPEG";
}

} // namespace

std::string drawing_name(const std::string& stem, const fs::path& picture) { return stem + (is_jpeg(picture) ? ".drawn.jpg" : ".drawn.png"); }

std::string shown_name(const fs::path& picture, const std::optional<fs::path>& folder) {
    if (!folder) return picture.string();
    const fs::path within = picture.lexically_relative(*folder);
    return within.empty() || *within.begin() == ".." ? picture.string() : within.generic_string();
}

std::string result_folder::preferred_stem(const picture_name& picture) const {
    const auto folder = folder_in(m_kept);
    const bool is_path = m_question.contains("collected"), is_within = folder && picture.name.starts_with(*folder + '/');
    fs::path stem = is_path || is_within ? fs::path(is_path ? picture.name : picture.name.substr(folder->size() + 1)).replace_extension() : fs::path(picture.name).stem();
    constexpr std::size_t longest = 200; // file systems allow 255 bytes; ".mask12.png.part" is added
    std::string name = stem.filename().string();
    if (name.size() > longest) {
        name.resize(longest);
        while (!name.empty() && !pali::is_utf8(name) && pali::is_utf8(stem.filename().string())) name.pop_back(); // not within a character
        stem.replace_filename(name);
    }
    return stem.generic_string();
}

/// The first of STEM, STEM-2, ... that no other picture has.
std::string result_folder::register_stem(const picture_name& picture) {
    const std::string stem = preferred_stem(picture);
    for (std::size_t n = 1;; ++n) {
        std::string candidate = n == 1 ? stem : stem + '-' + std::to_string(n);
        if (n > 1 && m_stems.contains(candidate)) continue; // another picture's own
        const fs::path path = m_state / "names" / file_name_of(candidate);
        std::string owner = content_of(path);
        if (owner.empty()) { // under the lock: nobody is between making the file and filling it
            const claims::lock alone(*m_claims);
            if (owner = content_of(path); owner.empty()) pali::write_file(path, owner = picture.key);
        }
        if (owner == picture.key) return candidate;
    }
}

std::string result_folder::stem_of(const picture_name& picture) {
    const auto same = m_same_stem.find(preferred_stem(picture));
    if (same != m_same_stem.end()) { // in their order, whichever is answered first
        for (const picture_name& other : same->second) static_cast<void>(register_stem(other));
        m_same_stem.erase(same);
    }
    return register_stem(picture);
}

bool result_folder::is_in_place(const std::string& name, const fs::path& picture) const {
    std::error_code unknown;
    return !fs::is_symlink(m_folder / name, unknown) && fs::equivalent(m_folder / name, picture, unknown) && !unknown;
}

/// Whether a file that was written is no longer there, or has nothing in it.
bool result_folder::is_lost(const std::string& name) const {
    std::error_code failed;
    const std::uintmax_t size = fs::file_size(m_folder / name, failed);
    return failed || size == 0;
}

result_folder::step result_folder::left_to_do(picture_name& picture) {
    const bool is_answered = identify(picture);
    if (m_answers.has_failed(picture.key)) return step::failed;
    if (!is_answered) return step::answer;
    const std::vector<std::string> masks = m_answers.masks(picture.key);
    if (std::any_of(masks.begin(), masks.end(), [&](const std::string& name) { return is_lost(name); }))
        return m_question.value("masks", "") == "soft" ? step::answer : step::restore; // answers keep what is inside and outside, not the values at soft edges
    const std::string drawing = m_answers.drawing(picture.key);
    return drawing.empty() ? (m_formats.drawn ? step::draw : step::done) : is_lost(drawing) ? step::draw : step::done;
}

result_folder::step result_folder::take(picture_name& picture) {
    const auto is_final = [](step left) { return left == step::done || left == step::failed; };
    if (const step left = left_to_do(picture); is_final(left)) return left;
    const std::string claim = file_name_of(picture.name);
    if (!m_claims->take(claim)) {
        m_answers.refresh();
        const step left = left_to_do(picture);
        return is_final(left) ? left : step::held;
    }
    m_answers.refresh(); // whoever held it before has written its answer before it released the claim
    step left = left_to_do(picture);
    if (left == step::restore) {
        restore_masks(picture.key);
        left = left_to_do(picture);
    }
    if (is_final(left)) release(picture);
    return left;
}

void result_folder::restore_masks(const std::string& key) {
    const std::vector<pali::object> objects = objects_of(m_answers.read(key));
    const std::vector<std::string> names = m_answers.masks(key);
    std::size_t next = 0;
    for (const pali::object& one : objects) {
        if (one.mask.empty()) continue;
        const std::string& file = names.at(next++);
        if (!is_lost(file)) continue;
        made((m_folder / file).parent_path());
        pali::write_png(m_folder / file, one.mask);
    }
}

/// Removes the masks and labels of a picture that has changed since, as far as its new answer does not replace them.
void result_folder::remove_stale(const std::vector<std::string>& before, const std::vector<std::string>& now, const picture_name& picture) {
    std::error_code ignored;
    for (const std::string& name : before)
        if (std::find(now.begin(), now.end(), name) == now.end()) fs::remove(m_folder / name, ignored);
    if (const std::string labels = "labelme/" + stem_of(picture) + ".json"; m_answers.wrote(labels)) fs::remove(m_folder / labels, ignored);
}

void result_folder::release(const picture_name& picture) { m_claims->release(file_name_of(picture.name)); }

std::vector<std::string> result_folder::add(const picture_name& picture, const pali::image& photo, const std::vector<pali::object>& objects, json answer) {
    std::vector<std::string> masks(objects.size());
    if (!m_claims->holds(file_name_of(picture.name))) return masks; // stopped for so long that another process has taken over
    const bool has_masks = std::any_of(objects.begin(), objects.end(), [](const pali::object& o) { return !o.mask.empty(); });
    const bool is_drawn = m_formats.drawn || !m_answers.drawing(picture.key).empty();
    const std::string stem = has_masks || is_drawn ? stem_of(picture) : std::string();
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (objects[i].mask.empty()) continue;
        masks[i] = stem + ".mask" + std::to_string(i + 1) + ".png";
        add_name(answer["objects"][i], "mask", masks[i]);
    }
    std::vector<std::string> files;
    std::copy_if(masks.begin(), masks.end(), std::back_inserter(files), [](const std::string& name) { return !name.empty(); });
    record(files);
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (masks[i].empty()) continue;
        made((m_folder / masks[i]).parent_path());
        pali::write_png(m_folder / masks[i], objects[i].mask);
    }
    json line;
    add_name(line, "key", picture.key);
    line["version"] = picture.version;
    add_name(line, "given", picture.given);
    add_name(line, "at", picture.place);
    line["size"] = picture.mark ? picture.mark->size : 0;
    line["modified"] = picture.mark ? picture.mark->modified : 0;
    line["hash"] = picture.mark ? hash_of_file(picture.path) : std::string();
    if (mark_of(picture.path) != picture.mark) line["hash"] = ""; // written to since it was read
    if (!stem.empty()) add_name(line, "stem", stem);
    line["answer"] = std::move(answer);
    if (has_masks) line["rle"] = mask_runs(objects);
    if (m_answers.has_answer(picture.key) && picture.version > m_answers.version(picture.key)) {
        remove_stale(m_answers.masks(picture.key), files, picture);
        ++m_changed;
    }
    m_answers.add(line);
    if (is_drawn) write_drawing(picture, photo, line, stem);
    release(picture);
    return masks;
}

void result_folder::write_drawing(const picture_name& picture, const pali::image& photo, const json& line, const std::string& stem) {
    const std::string name = drawing_name(stem, picture.path);
    record({name});
    made((m_folder / name).parent_path());
    const pali::image drawn = draw_objects(photo, objects_of(line));
    if (is_jpeg(picture.path)) pali::write_jpeg(m_folder / name, drawn);
    else pali::write_png(m_folder / name, drawn);
    json note;
    add_name(note, "key", picture.key);
    note["version"] = picture.version;
    add_name(note, "drawing", name);
    m_answers.add(note);
}

void result_folder::draw(const picture_name& picture, const pali::image& photo) {
    const json line = m_answers.read(picture.key);
    const json& answer = line.at("answer");
    if (answer.at("width") != photo.width || answer.at("height") != photo.height)
        throw pali::error(pali::errc::invalid_argument, {picture.given, ": has ", photo.width, " x ", photo.height, " pixels and had ", answer.at("width").dump(), " x ", answer.at("height").dump(), " when it was answered; it is not drawn"});
    const std::string stem = stored::name_of(line, "stem");
    write_drawing(picture, photo, line, stem.empty() ? stem_of(picture) : stem);
    release(picture);
}

void result_folder::fail(const picture_name& picture, const std::string& why) {
    json line;
    add_name(line, "key", picture.key);
    line["failed"] = stored::utf8_of(why);
    m_answers.add(line);
    release(picture);
}

pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects) {
    std::vector<pali::mark> marks;
    for (const pali::object& o : objects) marks.push_back({.label = o.label, .where = o.box, .inside = o.mask.empty() ? nullptr : &o.mask, .score = o.score});
    return pali::draw(photo, marks);
}
