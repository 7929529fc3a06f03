// Recognizes images that have already been answered, even if the image folder or results folder was moved or the file was rewritten.
#include "file_content.hpp"
#include "results.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <algorithm>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::add_name;

} // namespace

std::optional<file_mark> mark_of(const fs::path& path) {
    std::error_code no_size, no_time;
    const std::uintmax_t size = fs::file_size(path, no_size);
    const fs::file_time_type modified = fs::last_write_time(path, no_time);
    if (no_size || no_time) return std::nullopt;
    return file_mark{.size = size, .modified = static_cast<std::int64_t>(modified.time_since_epoch().count())};
}

std::string key_of(const std::string& name, std::size_t number) { return number == 1 ? name : name + "//" + std::to_string(number); }

std::string name_in(const std::string& key) { return key.substr(0, key.rfind("//")); }

std::string result_folder::place_of_folder(const fs::path& folder) const {
    const auto [known, is_new] = m_place_of_folder.try_emplace(folder);
    if (is_new) {               // resolves links in the path of the folder, but not the image itself, which may be a link
        std::error_code failed; // the results folder need not exist yet
        const fs::path at = fs::weakly_canonical(fs::absolute(folder.empty() ? "." : folder), failed),
                       here = fs::weakly_canonical(fs::absolute(m_folder), failed);
        const fs::path way = at.lexically_relative(here);
        known->second = way.empty() ? at.generic_string() + '/' : way == "." ? std::string() : way.generic_string() + '/';
    }
    return known->second;
}

image_name result_folder::name_of(const fs::path& image) const {
    const std::string folder = place_of_folder(image.parent_path());
    image_name made{.path = image, .given = image.string(), .place = folder + image.filename().string(), .name = {}, .key = {}};
    if (m_own && made.place.starts_with(m_own->place)) {
        made.name = m_own->name + '/' + made.place.substr(m_own->place.size());
    } else {
        const fs::path around = (fs::absolute(m_folder) / folder).lexically_normal();
        made.name = (around.has_filename() ? around : around.parent_path()).filename().string() + '/' + image.filename().string();
    }
    const auto same = m_same_name.find(made.name);
    if (same != m_same_name.end())
        for (const image_name& other : same->second)
            if (other.place == made.place) made.ordinal = other.ordinal;
    made.key = key_of(made.name, made.ordinal);
    return made;
}

bool result_folder::has_content_of(const image_name& image, const std::string& key) const {
    const std::string& hash = m_answers.hash(key);
    return !hash.empty() && image.mark && image.mark->size == m_answers.size_of_image(key) && hash_of_file(image.path) == hash;
}

void result_folder::note_place(const image_name& image) {
    json line;
    add_name(line, "key", image.key);
    line["version"] = image.version;
    add_name(line, "at", image.place);
    line["modified"] = image.mark->modified;
    m_answers.add(line);
    m_answers.prefer(image.place);
}

bool result_folder::identify_by_place(image_name& image, const answers::found& there) {
    image.key = there.key;
    image.version = m_answers.version(there.key);
    if (there.is_current && image.mark == there.mark) {
        m_answers.prefer(image.place);
        return true;
    }
    if (has_content_of(image, there.key)) { // copied, or rewritten with the same content
        note_place(image);
        return true;
    }
    ++image.version;
    return false;
}

/// Whether an answer under the name of this image belongs to another image of this run. `equal`: this image's content equals the answered
/// one's.
bool result_folder::is_of_another(const std::string& key, const image_name& image, bool equal) const {
    const auto same = m_same_name.find(image.name);
    if (same == m_same_name.end()) return false;
    const std::vector<std::string> places = m_answers.places(key);
    return std::any_of(same->second.begin(), same->second.end(), [&](const image_name& other) {
        if (other.place == image.place) return false;
        if (std::find(places.begin(), places.end(), other.place) != places.end()) return true;
        return (!equal || key == key_of(other.name, other.ordinal)) &&
               has_content_of(other, key); // of several equal images, each takes the answer with its own number
    });
}

bool result_folder::identify(image_name& image) {
    image.mark = mark_of(image.path);
    image.version = 1;
    if (const auto there = m_answers.at(image.place)) return identify_by_place(image, *there);
    image.key = key_of(image.name, image.ordinal);
    if (!image.mark) return false; // reading it will report why
    std::string gone;              // the answered image of this name, if it is gone from its place and differs from this one
    for (std::size_t number = 1; m_answers.has_answer(key_of(image.name, number)); ++number) {
        const std::string key = key_of(image.name, number);
        const bool equal = has_content_of(image, key);
        if (is_of_another(key, image, equal)) continue;
        if (equal) {
            image.key = key;
            image.version = m_answers.version(key);
            note_place(image);
            return true;
        }
        std::error_code unknown;
        if (gone.empty() && !fs::exists(m_folder / place_now(key), unknown)) gone = key;
    }
    if (!gone.empty())
        throw pali::error(
            pali::errc::invalid_argument,
            {image.path.string(), ": differs from the image that ", m_folder.string(), " has an answer for, ",
             (m_folder / place_now(gone)).lexically_normal().string(),
             ", which no longer exists. Use another --out folder for another image folder; images that changed in place are answered "
             "again"});
    for (std::size_t number = 1; m_answers.has_answer(image.key); ++number) image.key = key_of(image.name, number);
    return false;
}

/// The most recent place of the image that still exists.
std::string result_folder::place_now(const std::string& key) const {
    const std::vector<std::string> places = m_answers.places(key);
    std::error_code unknown;
    const auto there =
        std::find_if(places.rbegin(), places.rend(), [&](const std::string& place) { return fs::exists(m_folder / place, unknown); });
    return there != places.rend() ? *there : places.empty() ? std::string() : places.back();
}

/// Whether the image folder is a different one than in earlier runs, that is, whether the earlier folder still exists and has other images.
bool result_folder::is_another_folder(std::span<const fs::path> images) {
    const std::string before = pali::objects::name_of(json::parse(content_of(m_state / "formats.json"), nullptr, false), "images_at");
    std::error_code unknown;
    if (!m_own || before.empty() || before == m_own->place || !fs::exists(m_folder / before, unknown) ||
        fs::equivalent(m_folder / before, m_folder / m_own->place, unknown))
        return false;
    return std::any_of(images.begin(), images.end(), [&](const fs::path& path) {
        image_name image = name_of(path);
        if (!image.place.starts_with(m_own->place)) return false;
        const bool is_answered = identify(image);
        const auto there = mark_of(m_folder / (before + image.place.substr(m_own->place.size())));
        return (!is_answered && image.key != key_of(image.name, image.ordinal)) || !there || !image.mark || there->size != image.mark->size;
    });
}

/// Assigns ordinals to images of this run that share a name.
void result_folder::number_names(std::span<const fs::path> images) {
    std::map<std::string, std::string> first; // name -> place; the same name at another place is a second image
    for (const fs::path& path : images) {
        image_name image = name_of(path);
        const auto [known, is_new] = first.try_emplace(image.name, image.place);
        if (is_new || known->second == image.place) continue;
        m_same_name[image.name];
    }
    first.clear();
    if (!m_same_name.empty())
        for (const fs::path& path : images) {
            image_name image = name_of(path);
            const auto same = m_same_name.find(image.name);
            if (same == m_same_name.end() ||
                std::any_of(same->second.begin(), same->second.end(), [&](const image_name& other) { return other.place == image.place; }))
                continue;
            image.ordinal = same->second.size() + 1;
            image.key = key_of(image.name, image.ordinal);
            image.mark = mark_of(path);
            same->second.push_back(std::move(image));
        }
}

std::optional<std::string> folder_in(const json& formats) {
    if (!formats.is_object() || !formats.contains("images") || formats.at("images").is_null()) return std::nullopt;
    return pali::objects::name_of(formats, "images");
}

std::vector<std::pair<std::string, std::string>> names_in_results(const answers& all, const std::optional<std::string>& folder) {
    std::vector<std::pair<std::string, std::string>> order; // name, key
    bool within = folder.has_value();
    for (std::string& key : all.keys()) {
        const std::string name = name_in(key);
        const bool is_in = within && name.starts_with(*folder + '/');
        order.emplace_back(is_in ? name.substr(folder->size() + 1) : all.given(key), std::move(key));
    }
    const auto equal_names = [](const auto& a, const auto& b) { return a.first == b.first; };
    const auto are_unlike = [&] {
        std::sort(order.begin(), order.end());
        return std::adjacent_find(order.begin(), order.end(), equal_names) == order.end();
    };
    if (are_unlike()) return order;
    for (auto& [name, key] : order) name = all.given(key); // needed if two folders have the same name
    if (are_unlike()) return order;
    for (auto& [name, key] : order) name = key; // needed if different folders have the same relative paths
    std::sort(order.begin(), order.end());
    return order;
}
