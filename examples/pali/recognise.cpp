// Whether a picture is one that was answered: wherever the folders of pictures and of results have been moved to, and whatever the file holds now.
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
using pali::object_detail::add_name;
namespace stored = pali::object_detail;

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
    if (is_new) { // links on the way to a picture are followed, the picture itself may be one
        std::error_code failed; // the folder of results need not be there yet
        const fs::path at = fs::weakly_canonical(fs::absolute(folder.empty() ? "." : folder), failed), here = fs::weakly_canonical(fs::absolute(m_folder), failed);
        const fs::path way = at.lexically_relative(here);
        known->second = way.empty() ? at.generic_string() + '/' : way == "." ? std::string() : way.generic_string() + '/';
    }
    return known->second;
}

picture_name result_folder::name_of(const fs::path& picture) const {
    const std::string folder = place_of_folder(picture.parent_path());
    picture_name made{.path = picture, .given = picture.string(), .place = folder + picture.filename().string(), .name = {}, .key = {}};
    if (m_own && made.place.starts_with(m_own->place)) {
        made.name = m_own->name + '/' + made.place.substr(m_own->place.size());
    } else {
        const fs::path around = (fs::absolute(m_folder) / folder).lexically_normal();
        made.name = (around.has_filename() ? around : around.parent_path()).filename().string() + '/' + picture.filename().string();
    }
    const auto same = m_same_name.find(made.name);
    if (same != m_same_name.end())
        for (const picture_name& other : same->second)
            if (other.place == made.place) made.ordinal = other.ordinal;
    made.key = key_of(made.name, made.ordinal);
    return made;
}

bool result_folder::has_content_of(const picture_name& picture, const std::string& key) const {
    const std::string& hash = m_answers.hash(key);
    return !hash.empty() && picture.mark && picture.mark->size == m_answers.size_of_picture(key) && hash_of_file(picture.path) == hash;
}

void result_folder::note_place(const picture_name& picture) {
    json line;
    add_name(line, "key", picture.key);
    line["version"] = picture.version;
    add_name(line, "at", picture.place);
    line["modified"] = picture.mark->modified;
    m_answers.add(line);
    m_answers.prefer(picture.place);
}

bool result_folder::identify_by_place(picture_name& picture, const answers::found& there) {
    picture.key = there.key;
    picture.version = m_answers.version(there.key);
    if (there.is_current && picture.mark == there.mark) {
        m_answers.prefer(picture.place);
        return true;
    }
    if (has_content_of(picture, there.key)) { // copied, or written again as it was
        note_place(picture);
        return true;
    }
    ++picture.version;
    return false;
}

/// Whether an answer under the name of this picture, whose content is equal or not, belongs to another picture of this run.
bool result_folder::is_of_another(const std::string& key, const picture_name& picture, bool equal) const {
    const auto same = m_same_name.find(picture.name);
    if (same == m_same_name.end()) return false;
    const std::vector<std::string> places = m_answers.places(key);
    return std::any_of(same->second.begin(), same->second.end(), [&](const picture_name& other) {
        if (other.place == picture.place) return false;
        if (std::find(places.begin(), places.end(), other.place) != places.end()) return true;
        return (!equal || key == key_of(other.name, other.ordinal)) && has_content_of(other, key); // of equal ones each takes that of its number
    });
}

bool result_folder::identify(picture_name& picture) {
    picture.mark = mark_of(picture.path);
    picture.version = 1;
    if (const auto there = m_answers.at(picture.place)) return identify_by_place(picture, *there);
    picture.key = key_of(picture.name, picture.ordinal);
    if (!picture.mark) return false; // reading it will say why
    std::string gone; // an answered picture of this name that is no longer where it was, and that this is not
    for (std::size_t number = 1; m_answers.has_answer(key_of(picture.name, number)); ++number) {
        const std::string key = key_of(picture.name, number);
        const bool equal = has_content_of(picture, key);
        if (is_of_another(key, picture, equal)) continue;
        if (equal) {
            picture.key = key;
            picture.version = m_answers.version(key);
            note_place(picture);
            return true;
        }
        std::error_code unknown;
        if (gone.empty() && !fs::exists(m_folder / place_now(key), unknown)) gone = key;
    }
    if (!gone.empty())
        throw pali::error(pali::errc::invalid_argument,
                          {picture.path.string(), ": is not the picture that ", m_folder.string(), " has an answer to as ", (m_folder / place_now(gone)).lexically_normal().string(),
                           ", which is no longer there: the content differs. Another folder of pictures needs another folder by --out; of pictures that have changed, the answers are given anew where they are"});
    for (std::size_t number = 1; m_answers.has_answer(picture.key); ++number) picture.key = key_of(picture.name, number);
    return false;
}

/// Where the picture is now, of the places where it has been found.
std::string result_folder::place_now(const std::string& key) const {
    const std::vector<std::string> places = m_answers.places(key);
    std::error_code unknown;
    const auto there = std::find_if(places.rbegin(), places.rend(), [&](const std::string& place) { return fs::exists(m_folder / place, unknown); });
    return there != places.rend() ? *there : places.empty() ? std::string() : places.back();
}

/// Whether the folder of pictures is not the one that earlier runs named: that is still there, and has other pictures.
bool result_folder::is_another_folder(std::span<const fs::path> pictures) {
    const std::string before = stored::name_of(json::parse(content_of(m_state / "formats.json"), nullptr, false), "pictures_at");
    std::error_code unknown;
    if (!m_own || before.empty() || before == m_own->place || !fs::exists(m_folder / before, unknown) || fs::equivalent(m_folder / before, m_folder / m_own->place, unknown)) return false;
    return std::any_of(pictures.begin(), pictures.end(), [&](const fs::path& path) {
        picture_name picture = name_of(path);
        if (!picture.place.starts_with(m_own->place)) return false;
        const bool is_answered = identify(picture);
        const auto there = mark_of(m_folder / (before + picture.place.substr(m_own->place.size())));
        return (!is_answered && picture.key != key_of(picture.name, picture.ordinal)) || !there || !picture.mark || there->size != picture.mark->size;
    });
}

/// Numbers the pictures of this run that have one name.
void result_folder::number_names(std::span<const fs::path> pictures) {
    std::map<std::string, std::string> first; // place by name; another place with the name makes two pictures
    for (const fs::path& path : pictures) {
        picture_name picture = name_of(path);
        const auto [known, is_new] = first.try_emplace(picture.name, picture.place);
        if (is_new || known->second == picture.place) continue;
        m_same_name[picture.name];
    }
    first.clear();
    if (!m_same_name.empty())
        for (const fs::path& path : pictures) {
            picture_name picture = name_of(path);
            const auto same = m_same_name.find(picture.name);
            if (same == m_same_name.end() || std::any_of(same->second.begin(), same->second.end(), [&](const picture_name& other) { return other.place == picture.place; })) continue;
            picture.ordinal = same->second.size() + 1;
            picture.key = key_of(picture.name, picture.ordinal);
            picture.mark = mark_of(path);
            same->second.push_back(std::move(picture));
        }
}

std::optional<std::string> folder_in(const json& formats) {
    if (!formats.is_object() || !formats.contains("pictures") || formats.at("pictures").is_null()) return std::nullopt;
    return stored::name_of(formats, "pictures");
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
    for (auto& [name, key] : order) name = all.given(key); // two folders of one name
    if (are_unlike()) return order;
    for (auto& [name, key] : order) name = key; // given by the same words in different folders
    std::sort(order.begin(), order.end());
    return order;
}
