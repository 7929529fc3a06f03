#include "answers.hpp"

#include "file_content.hpp"

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/rle.hpp>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::name_of;

constexpr const char *answers_folder = "answers", *files_folder = "files";

std::string mask_name(const std::string& stem, std::size_t number) { return stem + ".mask" + std::to_string(number) + ".png"; }

} // namespace

answers::answers(fs::path state) : m_state(std::move(state)) { refresh(); }

void answers::join(const claims& self) {
    m_self = &self;
    for (const char* folder : {answers_folder, files_folder}) made(m_state / folder);
    // Images that failed in earlier runs are tried again, but not images that failed in a process that is still running.
    std::erase_if(m_failed, [&](const auto& one) { return !self.is_alive(fs::path(m_parts[one.second].name).stem().string()); });
    for (const json& line : std::exchange(m_waiting, {})) add(line);
    refresh();
}

answers::part& answers::part_of(const std::string& name) {
    const auto [known, is_new] = m_part_of.try_emplace(name, m_parts.size());
    if (is_new) m_parts.emplace_back().name = name;
    return m_parts[known->second];
}

void answers::refresh() {
    for (const char* folder : {files_folder, answers_folder}) read_folder(folder);
}

void answers::read_folder(const char* folder) {
    std::error_code failed;
    for (fs::directory_iterator entry(m_state / folder, failed), end; !failed && entry != end; entry.increment(failed)) {
        const std::string name = entry->path().filename().string();
        if (!name.ends_with(".jsonl") || (m_self != nullptr && name == m_self->id() + ".jsonl")) continue;
        part& one = part_of(std::string(folder) + '/' + name);
        const bool is_alive =
            m_self == nullptr || m_self->is_alive(name.substr(0, name.size() - 6)); // checked before reading, so no last lines are missed
        if (one.ended && !is_alive) continue;
        one.ended = !is_alive;
        read_lines(one);
    }
    if (failed && failed != std::errc::no_such_file_or_directory)
        throw pali::error(pali::errc::cannot_open, {(m_state / folder).string(), ": cannot be read: ", failed.message()});
}

void answers::read_lines(part& from) {
    std::ifstream file(m_state / from.name, std::ios::binary);
    if (!file) return;
    file.seekg(static_cast<std::streamoff>(from.read));
    for (std::string line; std::getline(file, line) && !file.eof();) {
        const json read = json::parse(line, nullptr, false);
        if (!read.is_object())
            throw pali::error(pali::errc::malformed_file, {(m_state / from.name).string(), ": byte ", from.read,
                                                           " is not the start of a JSON object; was the file edited?"});
        note(read, m_part_of.at(from.name), from.read, line.size());
        from.read += line.size() + 1;
    }
}

void answers::note(const json& line, std::size_t part, std::uint64_t offset, std::uint64_t length) {
    if (const auto names = line.find("writes"); names != line.end())
        for (const json& one : *names) m_written.insert(name_of(one, "file"));
    const std::string key = name_of(line, "key");
    if (key.empty()) return;
    if (line.contains("failed")) {
        if (!has_answer(key)) m_failed[key] = part;
        return;
    }
    const auto known = m_answers.try_emplace(key).first;
    entry& one = known->second;
    const std::uint64_t version = line.value("version", std::uint64_t{1});
    if (line.contains("answer") && version > one.version) { // if two processes answered, the first answer of a version wins
        m_count += one.version == 0 ? 1 : 0;
        one.version = version;
        one.part = part;
        one.offset = offset;
        one.length = length;
        one.size = line.value("size", std::uint64_t{0});
        one.hash = line.value("hash", "");
        one.given = name_of(line, "given");
        one.stem = name_of(line, "stem");
        one.masks.clear();
        if (const auto masks = line.find("rle"); masks != line.end())
            for (std::size_t i = 0; i < masks->size(); ++i)
                if (!(*masks)[i].is_null()) one.masks.push_back(static_cast<std::uint32_t>(i + 1));
        for (const std::uint32_t number : one.masks) m_written.insert(mask_name(one.stem, number));
        m_failed.erase(key);
    }
    if (line.contains("at")) note_place(known, line, version);
    if (line.contains("drawing") && version >= one.drawing_version) {
        one.drawing = name_of(line, "drawing");
        one.drawing_version = version;
        m_written.insert(one.drawing);
    }
}

void answers::note_place(entries::iterator of, const json& line, std::uint64_t version) {
    const auto [at, is_new] = m_places.try_emplace(name_of(line, "at"), place{.of = of});
    if (is_new) of->second.places.push_back(&at->first);
    if (version < at->second.version) return;
    at->second.version = version;
    at->second.modified = line.value("modified", std::int64_t{0});
}

bool answers::has_answer(const std::string& key) const {
    const auto found = m_answers.find(key);
    return found != m_answers.end() && found->second.version > 0;
}

std::string answers::drawing(const std::string& key) const {
    const auto found = m_answers.find(key);
    return found != m_answers.end() && found->second.drawing_version == found->second.version ? found->second.drawing : std::string();
}

std::vector<std::string> answers::masks(const std::string& key) const {
    std::vector<std::string> names;
    const entry& one = m_answers.at(key);
    for (const std::uint32_t number : one.masks) names.push_back(mask_name(one.stem, number));
    return names;
}

std::vector<std::string> answers::places(const std::string& key) const {
    std::vector<std::string> all;
    for (const std::string* one : m_answers.at(key).places) all.push_back(*one);
    return all;
}

std::optional<answers::found> answers::at(const std::string& where) const {
    const auto known = m_places.find(where);
    if (known == m_places.end() || known->second.of->second.version == 0) return std::nullopt;
    const entry& one = known->second.of->second;
    return found{.key = known->second.of->first,
                 .mark = {.size = one.size, .modified = known->second.modified},
                 .is_current = known->second.version == one.version};
}

void answers::prefer(const std::string& where) {
    const auto known = m_places.find(where);
    if (known == m_places.end()) return;
    auto& places = known->second.of->second.places;
    const auto mine = std::find(places.begin(), places.end(), &known->first);
    if (mine != places.end()) std::rotate(mine, mine + 1, places.end());
}

std::vector<std::string> answers::keys() const {
    std::vector<std::string> all;
    all.reserve(m_count);
    for (const auto& [key, one] : m_answers)
        if (one.version > 0) all.push_back(key);
    return all;
}

std::string answers::state() const {
    std::uint64_t versions = 0;
    for (const auto& [key, one] : m_answers) versions += one.version;
    return std::to_string(m_count) + ' ' + std::to_string(versions) + ' ' + std::to_string(m_places.size());
}

json answers::read(const std::string& key) const {
    const entry& one = m_answers.at(key);
    const fs::path path = m_state / m_parts[one.part].name;
    std::ifstream file(path, std::ios::binary);
    std::string line(one.length, '\0');
    file.seekg(static_cast<std::streamoff>(one.offset));
    file.read(line.data(), static_cast<std::streamsize>(line.size()));
    json read = file ? json::parse(line, nullptr, false) : json();
    if (!read.is_object() || name_of(read, "key") != key || !read.contains("answer"))
        throw pali::error(pali::errc::malformed_file, {path.string(), ": changed since it was read"});
    return read;
}

void answers::add(const json& line) {
    if (m_self != nullptr) return append(line.contains("writes") ? files_folder : answers_folder, line);
    note(line, 0, 0, 0);
    m_waiting.push_back(line);
}

void answers::append(const char* folder, const json& line) {
    const std::string text = line.dump() + '\n';
    part& own = part_of(std::string(folder) + '/' + m_self->id() + ".jsonl");
    const fs::path path = m_state / own.name;
    pali::core::append_to_file(path, text);
    note(line, m_part_of.at(own.name), own.read, text.size() - 1);
    own.read += text.size();
}

std::vector<pali::object> objects_of(const json& line) {
    std::vector<pali::object> made;
    const json& answer = line.at("answer");
    const auto listed = answer.find("objects"), masks = line.find("rle");
    for (std::size_t i = 0; listed != answer.end() && i < listed->size(); ++i) {
        const json& one = (*listed)[i];
        const auto side = [&](std::size_t at) { return one.at("box").at(at).get<float>(); };
        pali::object& o = made.emplace_back();
        o.label = one.at("label");
        o.score = one.at("score");
        o.box = {side(0), side(1), side(2), side(3)};
        if (masks == line.end() || masks->at(i).is_null()) continue;
        o.mask = pali::mask_of(pali::read_runs(masks->at(i).get<std::string>(), answer.at("width"), answer.at("height")));
    }
    return made;
}

json mask_runs(const std::vector<pali::object>& objects) {
    auto runs = json::array();
    for (const pali::object& o : objects) runs.push_back(o.mask.empty() ? json() : json(pali::to_string(pali::runs_of(o.mask))));
    return runs;
}
