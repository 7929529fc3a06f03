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

constexpr std::size_t most_named = 10; // items of a list in a message

bool is_jpeg(const fs::path& picture) {
    const std::string ending = picture.extension().string();
    return ending == ".jpg" || ending == ".jpeg" || ending == ".JPG" || ending == ".JPEG";
}

} // namespace

std::string shown_name(const fs::path& picture, const std::optional<fs::path>& folder) {
    if (!folder) return picture.string();
    const fs::path within = picture.lexically_relative(*folder);
    return within.empty() || *within.begin() == ".." ? picture.string() : within.generic_string();
}

result_folder::result_folder(fs::path folder, const json& question, const result_formats& formats, const std::optional<fs::path>& pictures, bool overwrite)
    : m_folder(made(folder)), m_state(made(m_folder / ".pali")), m_question(question), m_formats(formats), m_overwrite(overwrite), m_claims(m_state), m_answers(m_state, &m_claims) {
    made(m_state / "names");
    const claims::lock alone(m_claims);
    const fs::path asked = m_state / "question.json";
    if (const std::string before = content_of(asked); before.empty()) pali::write_file(asked, line_of(question) + '\n');
    else if (const std::string other = differences(json::parse(before, nullptr, false), question); !other.empty())
        throw pali::error(pali::errc::invalid_argument, {m_folder.string(), ": holds answers to another question: ", other, "; name another folder by --out, or take this one away"});
    // Formats that were asked for once are kept up to date.
    const fs::path kept = m_state / "formats.json";
    json all = json::parse(content_of(kept), nullptr, false);
    if (!all.is_object()) all = json::object();
    const json earlier = all;
    if (formats.coco) all["coco"] = static_cast<int>(formats.masks);
    if (formats.yolo) all["yolo"] = true;
    if (formats.labelme) all["labelme"] = true;
    // Names in results are relative to the folder of pictures, while every run that named a folder named the same one.
    if (pictures) {
        std::string root = name_of(*pictures / "x").key;
        root.pop_back();
        if (!all.contains("pictures")) add_name(all, "pictures", root);
        else if (stored::name_of(all, "pictures") != root) all["pictures"] = nullptr, all.erase("pictures_bytes");
    }
    if (question.contains("collected")) m_root = "";
    else if (all.contains("pictures") && !all["pictures"].is_null()) m_root = stored::name_of(all, "pictures");
    if (all != earlier) pali::write_file(kept, line_of(all) + '\n');
}

picture_name result_folder::name_of(const fs::path& picture) const {
    const auto [known, is_new] = m_key_of_folder.try_emplace(picture.parent_path());
    if (is_new) { // links on the way to a picture are followed, the picture itself may be one
        std::error_code failed;
        const fs::path at = fs::weakly_canonical(known->first.empty() ? "." : known->first, failed), here = fs::weakly_canonical(m_folder, failed);
        const fs::path way = at.lexically_relative(here);
        known->second = way.empty() ? at.generic_string() + '/' : way == "." ? std::string() : way.generic_string() + '/';
    }
    return {.path = picture, .given = picture.string(), .key = known->second + picture.filename().string()};
}

std::string result_folder::file_of(const std::string& key) const { return m_root && key.starts_with(*m_root) ? key.substr(m_root->size()) : m_answers.given(key); }

std::string result_folder::preferred_stem(const picture_name& picture) const {
    fs::path stem = m_root && picture.key.starts_with(*m_root) ? fs::path(picture.key.substr(m_root->size())).replace_extension() : fs::path(picture.key).stem();
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
            const claims::lock alone(m_claims);
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

bool result_folder::may_write(const std::string& name) {
    std::error_code unknown;
    if (m_overwrite || m_answers.wrote(name) || !fs::exists(fs::symlink_status(m_folder / name, unknown))) return true;
    m_answers.refresh(); // another process records what it writes before it writes
    return m_answers.wrote(name);
}

bool result_folder::is_in_place(const std::string& name, const fs::path& picture) const {
    std::error_code unknown;
    return !fs::is_symlink(m_folder / name, unknown) && fs::equivalent(m_folder / name, picture, unknown) && !unknown;
}

void result_folder::expect(std::span<const fs::path> pictures) {
    std::map<std::string, picture_name> first; // by stem
    std::vector<std::string> wanted{"results.jsonl"};
    if (m_formats.coco) wanted.emplace_back("coco.json");
    if (m_formats.yolo) wanted.emplace_back("data.yaml");
    for (const fs::path& path : pictures) {
        picture_name picture = name_of(path);
        const std::string stem = preferred_stem(picture);
        m_stems.insert(stem);
        const auto [known, is_new] = first.try_emplace(stem, picture);
        if (!is_new && known->second.key != picture.key) {
            std::vector<picture_name>& same = m_same_stem[stem];
            if (same.empty()) same.push_back(known->second);
            same.push_back(std::move(picture));
        }
        if (!is_new) continue;
        wanted.push_back(stem + ".mask1.png");
        if (m_formats.drawn) wanted.push_back(stem + (is_jpeg(path) ? ".drawn.jpg" : ".drawn.png"));
        if (m_formats.yolo) wanted.push_back("labels/" + stem + ".txt");
        if (const std::string link = "images/" + stem + path.extension().string(); m_formats.yolo && !is_in_place(link, path)) wanted.push_back(link);
        if (m_formats.labelme) wanted.push_back("labelme/" + stem + ".json");
    }
    std::error_code unknown;
    for (const char* folder : {"labels", "images", "labelme"})
        if ((std::string_view(folder) == "labelme" ? m_formats.labelme : m_formats.yolo) && fs::exists(m_folder / folder, unknown) && !fs::is_directory(m_folder / folder, unknown))
            throw pali::error(pali::errc::invalid_argument, {(m_folder / folder).string(), ": is not a folder, and results are to be written into a folder of this name"});
    std::string named;
    std::size_t count = 0;
    for (const std::string& name : wanted) {
        if (may_write(name)) continue;
        if (count++ < most_named) named += (named.empty() ? "" : ", ") + (m_folder / name).string();
    }
    if (count == 0) return;
    if (count > most_named) named += " and " + std::to_string(count - most_named) + " more";
    throw pali::error(pali::errc::invalid_argument, {count == 1 ? "a file that pali did not write would be replaced: " : "files that pali did not write would be replaced: ", named,
                                                     "; name another folder by --out, or allow it by --overwrite"});
}

result_folder::step result_folder::left_to_do(const picture_name& picture) const {
    if (m_answers.has_failed(picture.key)) return step::failed;
    if (!m_answers.has_answer(picture.key)) return step::answer;
    const std::string drawing = m_answers.drawing(picture.key);
    std::error_code unknown;
    return m_formats.drawn && (drawing.empty() || !fs::exists(m_folder / drawing, unknown)) ? step::draw : step::done;
}

result_folder::step result_folder::take(const picture_name& picture) {
    if (const step left = left_to_do(picture); left == step::done || left == step::failed) return left;
    if (!m_claims.take(file_name_of(picture.key))) {
        m_answers.refresh();
        const step left = left_to_do(picture);
        return left == step::done || left == step::failed ? left : step::held;
    }
    m_answers.refresh(); // whoever held it before has written its answer before it released the claim
    const step left = left_to_do(picture);
    if (left == step::done || left == step::failed) release(picture);
    return left;
}

void result_folder::release(const picture_name& picture) { m_claims.release(file_name_of(picture.key)); }

void result_folder::record(const std::vector<std::string>& names) {
    json files = json::array();
    for (const std::string& name : names) {
        if (m_answers.wrote(name)) continue;
        if (!may_write(name))
            throw pali::error(pali::errc::cannot_write, {(m_folder / name).string(), ": is there already, and pali did not write it; take it away, or allow replacing it by --overwrite"});
        add_name(files.emplace_back(json::object()), "file", name);
    }
    if (!files.empty()) m_answers.add({{"writes", std::move(files)}});
}

std::vector<std::string> result_folder::add(const picture_name& picture, const pali::image& photo, const std::vector<pali::object>& objects, json answer) {
    std::vector<std::string> masks(objects.size());
    if (!m_claims.holds(file_name_of(picture.key))) return masks; // stopped for so long that another process has taken over
    const bool has_masks = std::any_of(objects.begin(), objects.end(), [](const pali::object& o) { return !o.mask.empty(); });
    const std::string stem = has_masks || m_formats.drawn ? stem_of(picture) : std::string();
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
    add_name(line, "given", picture.given);
    if (!stem.empty()) add_name(line, "stem", stem);
    line["answer"] = std::move(answer);
    if (has_masks) line["rle"] = mask_runs(objects);
    m_answers.add(line);
    if (m_formats.drawn) write_drawing(picture, photo, line, stem);
    release(picture);
    return masks;
}

void result_folder::write_drawing(const picture_name& picture, const pali::image& photo, const json& line, const std::string& stem) {
    const std::string name = stem + (is_jpeg(picture.path) ? ".drawn.jpg" : ".drawn.png");
    record({name});
    made((m_folder / name).parent_path());
    const pali::image drawn = draw_objects(photo, objects_of(line));
    if (is_jpeg(picture.path)) pali::write_jpeg(m_folder / name, drawn);
    else pali::write_png(m_folder / name, drawn);
    json note;
    add_name(note, "key", picture.key);
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
