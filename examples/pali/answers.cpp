#include "answers.hpp"

#include "file_content.hpp"

#include <pali/core/error.hpp>
#include <pali/objects/impl/json_values.ipp>
#include <pali/objects/rle.hpp>

#include <fstream>
#include <string_view>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::object_detail::name_of;

} // namespace

answers::answers(fs::path state, const claims* self) : m_folder(std::move(state) / "answers"), m_self(self) {
    if (m_self != nullptr) made(m_folder);
    refresh();
}

void answers::refresh() {
    std::error_code failed;
    for (fs::directory_iterator entry(m_folder, failed), end; !failed && entry != end; entry.increment(failed)) {
        const std::string name = entry->path().filename().string();
        if (!name.ends_with(".jsonl") || (m_self != nullptr && name == m_self->id() + ".jsonl")) continue;
        part& one = m_parts[name];
        const bool is_alive = m_self != nullptr && m_self->is_alive(name.substr(0, name.size() - 6)); // asked before reading: what it wrote last is then read, too
        if (one.ended && !is_alive) continue;
        one.ended = !is_alive;
        // What failed in an earlier run is tried again; what fails in a process beside this one is not.
        read_lines(name, one, is_alive || !m_first);
    }
    if (failed) throw pali::error(pali::errc::cannot_open, {m_folder.string(), ": cannot be read: ", failed.message()});
    m_first = false;
}

void answers::read_lines(const std::string& name, part& from, bool take_failures) {
    std::ifstream file(m_folder / name, std::ios::binary);
    if (!file) return;
    file.seekg(static_cast<std::streamoff>(from.read));
    for (std::string line; std::getline(file, line) && !file.eof();) {
        const json read = json::parse(line, nullptr, false);
        if (!read.is_object()) throw pali::error(pali::errc::malformed_file, {(m_folder / name).string(), ": byte ", from.read, " does not begin a JSON object; was the file edited?"});
        note(read, {.part = name, .offset = from.read, .length = line.size(), .given = {}}, take_failures);
        from.read += line.size() + 1;
    }
}

void answers::note(const json& line, place where, bool take_failures) {
    if (const auto names = line.find("writes"); names != line.end())
        for (const json& one : *names) m_written.insert(name_of(one, "file"));
    const std::string key = name_of(line, "key");
    if (key.empty()) return;
    if (line.contains("answer")) {
        where.given = name_of(line, "given");
        m_answers.try_emplace(key, std::move(where)); // the first stays, should two processes have answered
        m_failed.erase(key);
    }
    if (line.contains("drawing")) m_drawings[key] = name_of(line, "drawing");
    if (line.contains("failed") && take_failures && !m_answers.contains(key)) m_failed.insert(key);
}

std::string answers::drawing(const std::string& key) const {
    const auto found = m_drawings.find(key);
    return found != m_drawings.end() ? found->second : std::string();
}

std::vector<std::string> answers::keys() const {
    std::vector<std::string> all;
    all.reserve(m_answers.size());
    for (const auto& [key, where] : m_answers) all.push_back(key);
    return all;
}

json answers::read(const std::string& key) const {
    const place& where = m_answers.at(key);
    std::ifstream file(m_folder / where.part, std::ios::binary);
    std::string line(where.length, '\0');
    file.seekg(static_cast<std::streamoff>(where.offset));
    file.read(line.data(), static_cast<std::streamsize>(line.size()));
    json read = file ? json::parse(line, nullptr, false) : json();
    if (!read.is_object() || name_of(read, "key") != key || !read.contains("answer"))
        throw pali::error(pali::errc::malformed_file, {(m_folder / where.part).string(), ": has changed since it was read"});
    return read;
}

void answers::add(const json& line) {
    const std::string name = m_self->id() + ".jsonl", text = line.dump() + '\n';
    const fs::path path = m_folder / name;
    part& own = m_parts[name];
    std::ofstream file(path, std::ios::binary | std::ios::app);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    if (!file) {
        std::error_code ignored; // half a line would spoil the next one
        fs::resize_file(path, own.read, ignored);
        throw pali::error(pali::errc::cannot_write, {path.string(), ": cannot be written; is the folder there, writable and not full?"});
    }
    note(line, {.part = name, .offset = own.read, .length = text.size() - 1, .given = {}}, true);
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
