// Joins a results folder: checks that the question matches and that only files written by pali would be overwritten.
#include "file_content.hpp"
#include "report.hpp"
#include "results.hpp"

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::add_name;

constexpr std::size_t most_named = 10; // items listed in a message

/// JSON line that records files about to be written.
json writes(const std::vector<std::string>& names) {
    json files = json::array();
    for (const std::string& name : names) add_name(files.emplace_back(json::object()), "file", name);
    return {{"writes", std::move(files)}};
}

/// Accepts a folder, or a path where nothing exists yet.
fs::path checked(fs::path folder) {
    std::error_code failed;
    const fs::file_status there = fs::status(folder, failed);
    if (fs::exists(there) && !fs::is_directory(there)) failed = std::make_error_code(std::errc::not_a_directory);
    if (failed && there.type() != fs::file_type::not_found)
        throw pali::error(pali::errc::cannot_write, {folder.string(), ": is not a folder and cannot be created: ", failed.message()});
    return folder;
}

} // namespace

result_folder::result_folder(fs::path folder, json question, const result_formats& formats, const std::optional<fs::path>& images,
                             bool overwrite)
    : m_folder(checked(std::move(folder))), m_state(m_folder / ".pali"), m_question(std::move(question)), m_formats(formats),
      m_overwrite(overwrite), m_answers(m_state) {
    if (m_answers.size() > 0) check_question();
    if (images) {
        const std::string place = place_of_folder(*images);
        m_own = {.name = name_of(*images / "x").name, .place = place};
        m_own->name.resize(m_own->name.size() - 2); // "/x"
    }
    read_formats();
}

void result_folder::check_question() const {
    const std::string before = content_of(m_state / "question.json");
    const std::string other = before.empty() ? std::string() : differences(json::parse(before, nullptr, false), m_question);
    if (!other.empty())
        throw pali::error(pali::errc::invalid_argument, {m_folder.string(), ": has answers to another question: ", other,
                                                         "; choose another --out folder, or remove this one"});
}

/// Merges requested formats with those of earlier runs, which are kept up to date.
void result_folder::read_formats() {
    json kept = json::parse(content_of(m_state / "formats.json"), nullptr, false);
    m_kept = kept.is_object() && content_of(m_state / "question.json") == line_of(m_question) + '\n' ? std::move(kept) : json::object();
    if (m_formats.coco) m_kept["coco"] = static_cast<int>(m_formats.masks);
    else if (m_kept.contains("coco")) m_formats.masks = static_cast<pali::coco_masks>(m_kept.at("coco").get<int>());
    if (m_formats.yolo) m_kept["yolo"] = true;
    if (m_formats.labelme) m_kept["labelme"] = true;
    m_formats.coco = m_kept.contains("coco");
    m_formats.yolo = m_kept.contains("yolo");
    m_formats.labelme = m_kept.contains("labelme");
    if (m_own && !m_kept.contains("images")) {
        add_name(m_kept, "images", m_own->name);
        add_name(m_kept, "images_at", m_own->place);
    } else if (m_own && folder_in(m_kept)) { // names in results stay relative to the image folder while all runs use the same folder
        if (m_is_another || folder_in(m_kept) != m_own->name) m_kept["images"] = nullptr, m_kept.erase("images_bytes");
        else add_name(m_kept, "images_at", m_own->place);
    } else if (!m_own && folder_in(m_kept)) { // images that are given individually may lie in that folder
        m_own = {.name = *folder_in(m_kept), .place = pali::objects::name_of(m_kept, "images_at")};
    }
}

void result_folder::join(std::span<const fs::path> images) {
    number_names(images);
    m_is_another = is_another_folder(images);
    read_formats();
    check_files(images);
    made(m_folder);
    made(m_state / "names");
    m_claims.emplace(m_state);
    const claims::lock alone(*m_claims);
    m_answers.join(*m_claims);
    if (m_answers.size() > 0 || m_claims->has_company()) check_question();
    read_formats(); // again, because other processes may have added formats
    for (const auto& [name, value] : {std::pair{"question.json", &m_question}, {"formats.json", &m_kept}})
        if (const std::string text = line_of(*value) + '\n'; content_of(m_state / name) != text)
            pali::core::write_file(m_state / name, text);
    record(files_of_formats());
}

std::vector<std::string> result_folder::files_of_formats() const {
    std::vector<std::string> names{"results.jsonl"};
    if (m_formats.coco) names.emplace_back("coco.json");
    if (m_formats.yolo) names.emplace_back("data.yaml");
    return names;
}

bool result_folder::may_write(const std::string& name) {
    std::error_code unknown;
    if (m_overwrite || m_answers.wrote(name) || !fs::exists(fs::symlink_status(m_folder / name, unknown))) return true;
    m_answers.refresh(); // other processes record what they write before writing it
    return m_answers.wrote(name);
}

void result_folder::check_files(std::span<const fs::path> images) {
    std::map<std::string, image_name> first; // by stem
    std::vector<std::string> wanted = files_of_formats();
    // A crash may have cut off the last line of a record. Finished formats and registered stems also prove that pali wrote a file.
    const json finished = json::parse(content_of(m_state / "written"), nullptr, false);
    const auto was_finished = [&](const char* format) { return finished.is_object() && finished.contains(format); };
    const auto claim = [&](const std::string& name) {
        if (!may_write(name)) m_answers.add(writes({name}));
    };
    if (finished.is_object()) claim("results.jsonl");
    if (was_finished("coco")) claim("coco.json");
    if (was_finished("yolo")) claim("data.yaml");
    for (const fs::path& path : images) {
        image_name image = name_of(path);
        static_cast<void>(identify(image));
        const std::string stem = preferred_stem(image);
        m_stems.insert(stem);
        const auto [known, is_new] = first.try_emplace(stem, image);
        if (!is_new && known->second.key != image.key) {
            std::vector<image_name>& same = m_same_stem[stem];
            if (same.empty()) same.push_back(known->second);
            same.push_back(image);
        }
        if (!is_new) continue;
        const auto want = [&](const std::string& name, bool was_written) {
            if (was_written && !may_write(name) && content_of(m_state / "names" / file_name_of(stem)) == image.key) claim(name);
            wanted.push_back(name);
        };
        if (m_question.value("task", "") == "segment") want(stem + ".mask1.png", true);
        if (m_formats.drawn) want(drawing_name(stem, path), true);
        if (m_formats.yolo) want("labels/" + stem + ".txt", was_finished("yolo"));
        if (const std::string link = "images/" + stem + path.extension().string(); m_formats.yolo && !is_in_place(link, path))
            want(link, was_finished("yolo"));
        if (m_formats.labelme) want("labelme/" + stem + ".json", was_finished("labelme"));
    }
    std::error_code unknown;
    for (const char* folder : {"labels", "images", "labelme"})
        if ((std::string_view(folder) == "labelme" ? m_formats.labelme : m_formats.yolo) && fs::exists(m_folder / folder, unknown) &&
            !fs::is_directory(m_folder / folder, unknown))
            throw pali::error(pali::errc::invalid_argument,
                              {(m_folder / folder).string(), ": is not a folder, but results need a folder of this name"});
    for (const std::string& name : wanted)
        if (const fs::file_status there = fs::status(m_folder / name, unknown); fs::exists(there) && !fs::is_regular_file(there))
            throw pali::error(pali::errc::invalid_argument,
                              {(m_folder / name).string(), fs::is_directory(there) ? ": is a folder" : ": is a pipe or a device",
                               ", but a file of this name must be written; remove it, or choose another --out folder"});
    std::string named;
    std::size_t count = 0;
    for (const std::string& name : wanted) {
        if (may_write(name)) continue;
        if (count++ < most_named) named += (named.empty() ? "" : ", ") + (m_folder / name).string();
    }
    if (count == 0) return;
    if (count > most_named) named += " and " + std::to_string(count - most_named) + " more";
    throw pali::error(pali::errc::invalid_argument, {count == 1 ? "a file that pali did not write would be replaced: "
                                                                : "files that pali did not write would be replaced: ",
                                                     named, "; choose another --out folder, or pass --overwrite"});
}

void result_folder::record(const std::vector<std::string>& names) {
    std::vector<std::string> files;
    for (const std::string& name : names) {
        if (m_answers.wrote(name)) continue;
        if (!may_write(name))
            throw pali::error(pali::errc::cannot_write,
                              {(m_folder / name).string(), ": already exists and was not written by pali; remove it, or pass --overwrite"});
        files.push_back(name);
    }
    if (!files.empty()) m_answers.add(writes(files));
}
