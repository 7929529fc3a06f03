#include "results.hpp"

#include "file_content.hpp"
#include "report.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>
#include <pali/core/write_file.hpp>
#include <pali/image/drawing.hpp>
#include <pali/image/write.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::add_name;

bool is_jpeg(const fs::path& image) {
    const std::string ending = image.extension().string();
    return ending == ".jpg" || ending == ".jpeg" || ending == ".JPG" || ending == ".JPEG";
}

} // namespace

std::string drawing_name(const std::string& stem, const fs::path& image) { return stem + (is_jpeg(image) ? ".drawn.jpg" : ".drawn.png"); }

std::string shown_name(const fs::path& image, const std::optional<fs::path>& folder) {
    if (!folder) return image.string();
    const fs::path within = image.lexically_relative(*folder);
    return within.empty() || *within.begin() == ".." ? image.string() : within.generic_string();
}

std::string result_folder::preferred_stem(const image_name& image) const {
    const auto folder = folder_in(m_kept);
    const bool is_path = m_question.contains("collected"), is_within = folder && image.name.starts_with(*folder + '/');
    fs::path stem = is_path || is_within ? fs::path(is_path ? image.name : image.name.substr(folder->size() + 1)).replace_extension()
                                         : fs::path(image.name).stem();
    constexpr std::size_t longest = 200; // file systems allow 255 bytes; ".mask12.png.part" is appended
    std::string name = stem.filename().string();
    if (name.size() > longest) {
        name.resize(longest);
        while (!name.empty() && !pali::core::is_utf8(name) && pali::core::is_utf8(stem.filename().string()))
            name.pop_back(); // not inside a character
        stem.replace_filename(name);
    }
    return stem.generic_string();
}

/// Returns the first of STEM, STEM-2, ... that no other image owns, and registers it.
std::string result_folder::register_stem(const image_name& image) {
    const std::string stem = preferred_stem(image);
    for (std::size_t n = 1;; ++n) {
        std::string candidate = n == 1 ? stem : stem + '-' + std::to_string(n);
        if (n > 1 && m_stems.contains(candidate)) continue; // another image prefers this stem
        const fs::path path = m_state / "names" / file_name_of(candidate);
        std::string owner = content_of(path);
        if (owner.empty()) { // the lock is held, so no process is between creating and filling the file
            const claims::lock alone(*m_claims);
            if (owner = content_of(path); owner.empty()) pali::core::write_file(path, owner = image.key);
        }
        if (owner == image.key) return candidate;
    }
}

std::string result_folder::stem_of(const image_name& image) {
    const auto same = m_same_stem.find(preferred_stem(image));
    if (same != m_same_stem.end()) { // registers them in order, whichever is answered first
        for (const image_name& other : same->second) static_cast<void>(register_stem(other));
        m_same_stem.erase(same);
    }
    return register_stem(image);
}

bool result_folder::is_in_place(const std::string& name, const fs::path& image) const {
    std::error_code unknown;
    return !fs::is_symlink(m_folder / name, unknown) && fs::equivalent(m_folder / name, image, unknown) && !unknown;
}

/// Whether a file that pali wrote is missing or empty.
bool result_folder::is_lost(const std::string& name) const {
    std::error_code failed;
    const std::uintmax_t size = fs::file_size(m_folder / name, failed);
    return failed || size == 0;
}

result_folder::step result_folder::left_to_do(image_name& image) {
    const bool is_answered = identify(image);
    if (m_answers.has_failed(image.key)) return step::failed;
    if (!is_answered) return step::answer;
    const std::vector<std::string> masks = m_answers.masks(image.key);
    if (std::any_of(masks.begin(), masks.end(), [&](const std::string& name) { return is_lost(name); }))
        return m_question.value("masks", "") == "soft" ? step::answer : step::restore; // answers store binary masks, not soft edge values
    const std::string drawing = m_answers.drawing(image.key);
    return drawing.empty() ? (m_formats.drawn ? step::draw : step::done) : is_lost(drawing) ? step::draw : step::done;
}

result_folder::step result_folder::take(image_name& image) {
    const auto is_final = [](step left) { return left == step::done || left == step::failed; };
    if (const step left = left_to_do(image); is_final(left)) return left;
    const std::string claim = file_name_of(image.name);
    if (!m_claims->take(claim)) {
        m_answers.refresh();
        const step left = left_to_do(image);
        return is_final(left) ? left : step::held;
    }
    m_answers.refresh(); // the previous holder wrote its answer before it released the claim
    step left = left_to_do(image);
    if (left == step::restore) {
        restore_masks(image.key);
        left = left_to_do(image);
    }
    if (is_final(left)) release(image);
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

/// Removes masks and labels of the previous version of an image that the new answer does not replace.
void result_folder::remove_stale(const std::vector<std::string>& before, const std::vector<std::string>& now, const image_name& image) {
    std::error_code ignored;
    for (const std::string& name : before)
        if (std::find(now.begin(), now.end(), name) == now.end()) fs::remove(m_folder / name, ignored);
    if (const std::string labels = "labelme/" + stem_of(image) + ".json"; m_answers.wrote(labels)) fs::remove(m_folder / labels, ignored);
}

void result_folder::release(const image_name& image) { m_claims->release(file_name_of(image.name)); }

std::vector<std::string> result_folder::add(const image_name& image, const pali::image& photo, const std::vector<pali::object>& objects,
                                            json answer) {
    std::vector<std::string> masks(objects.size());
    if (!m_claims->holds(file_name_of(image.name))) return masks; // this process was suspended for so long that another one has taken over
    const bool has_masks = std::any_of(objects.begin(), objects.end(), [](const pali::object& o) { return !o.mask.empty(); });
    const bool is_drawn = m_formats.drawn || !m_answers.drawing(image.key).empty();
    const std::string stem = has_masks || is_drawn ? stem_of(image) : std::string();
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
    add_name(line, "key", image.key);
    line["version"] = image.version;
    add_name(line, "given", image.given);
    add_name(line, "at", image.place);
    line["size"] = image.mark ? image.mark->size : 0;
    line["modified"] = image.mark ? image.mark->modified : 0;
    line["hash"] = image.mark ? hash_of_file(image.path) : std::string();
    if (mark_of(image.path) != image.mark) line["hash"] = ""; // the file has been written since it was read
    if (!stem.empty()) add_name(line, "stem", stem);
    line["answer"] = std::move(answer);
    if (has_masks) line["rle"] = mask_runs(objects);
    if (m_answers.has_answer(image.key) && image.version > m_answers.version(image.key)) {
        remove_stale(m_answers.masks(image.key), files, image);
        ++m_changed;
    }
    m_answers.add(line);
    if (is_drawn) write_drawing(image, photo, line, stem);
    release(image);
    return masks;
}

void result_folder::write_drawing(const image_name& image, const pali::image& photo, const json& line, const std::string& stem) {
    const std::string name = drawing_name(stem, image.path);
    record({name});
    made((m_folder / name).parent_path());
    const pali::image drawn = draw_objects(photo, objects_of(line));
    if (is_jpeg(image.path)) pali::write_jpeg(m_folder / name, drawn);
    else pali::write_png(m_folder / name, drawn);
    json note;
    add_name(note, "key", image.key);
    note["version"] = image.version;
    add_name(note, "drawing", name);
    m_answers.add(note);
}

void result_folder::draw(const image_name& image, const pali::image& photo) {
    const json line = m_answers.read(image.key);
    const json& answer = line.at("answer");
    if (answer.at("width") != photo.width || answer.at("height") != photo.height)
        throw pali::error(pali::errc::invalid_argument,
                          {image.given, ": has ", photo.width, " x ", photo.height, " pixels, but had ", answer.at("width").dump(), " x ",
                           answer.at("height").dump(), " when it was answered; it is not drawn"});
    const std::string stem = pali::objects::name_of(line, "stem");
    write_drawing(image, photo, line, stem.empty() ? stem_of(image) : stem);
    release(image);
}

void result_folder::fail(const image_name& image, const std::string& why) {
    json line;
    add_name(line, "key", image.key);
    line["failed"] = pali::objects::utf8_of(why);
    m_answers.add(line);
    release(image);
}

pali::image draw_objects(const pali::image& photo, const std::vector<pali::object>& objects) {
    std::vector<pali::mark> marks;
    for (const pali::object& o : objects)
        marks.push_back({.label = o.label, .where = o.box, .inside = o.mask.empty() ? nullptr : &o.mask, .score = o.score});
    return pali::draw(photo, marks);
}
