// pali collect: the results of several folders as those of one.
#include "console.hpp"
#include "file_content.hpp"
#include "options.hpp"
#include "report.hpp"
#include "results.hpp"

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::object_detail::add_name;
namespace stored = pali::object_detail;

json read_object(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    json read = file ? json::parse(file, nullptr, false) : json();
    if (!read.is_object()) throw pali::error(pali::errc::cannot_open, {path.string(), ": cannot be read; PART is a folder that pali detect, segment, caption or ask wrote by --out"});
    return read;
}

void copy_result(const fs::path& from, const fs::path& to) {
    std::error_code failed;
    fs::create_directories(to.parent_path(), failed);
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, failed);
    if (failed) throw pali::error(pali::errc::cannot_write, {to.string(), ": cannot be copied from ", from.string(), ": ", failed.message()});
}

/// What the parts of divided work say of how many there are.
class divided {
public:
    void read(const fs::path& part) {
        std::error_code failed;
        for (fs::directory_iterator entry(part / ".pali" / "shards", failed), end; !failed && entry != end; entry.increment(failed)) {
            const json one = read_object(entry->path());
            const auto index = one.at("index").get<std::size_t>(), count = one.at("count").get<std::size_t>();
            if (m_count != 0 && count != m_count)
                throw pali::error(pali::errc::invalid_argument, {part.string(), ": is part ", index, " of ", count, ", and another folder is one of ", m_count, " parts"});
            m_count = count;
            m_there.insert(index);
            if (one.contains("pictures")) m_pictures = std::max(m_pictures, one.at("pictures").get<std::size_t>());
        }
    }

    /// In words; empty where nothing is known to be missing.
    [[nodiscard]] std::string missing(std::size_t answers) const {
        std::string text;
        std::size_t parts = 0;
        constexpr std::size_t most_named = 10;
        for (std::size_t i = 0; i < m_count; ++i)
            if (!m_there.contains(i) && parts++ < most_named) text += (text.empty() ? "" : ", ") + std::to_string(i);
        if (parts > 0) text = "parts that are missing, of " + std::to_string(m_count) + ": " + text + (parts > most_named ? ", ..." : "");
        if (answers < m_pictures) text += (text.empty() ? "" : "; ") + std::to_string(m_pictures - answers) + " of " + std::to_string(m_pictures) + " pictures have no answer";
        return text;
    }

private:
    std::size_t m_count = 0, m_pictures = 0;
    std::set<std::size_t> m_there;
};

struct collect_command {
    std::vector<std::string> parts;
    std::string out;
    format_options formats;
    bool overwrite = false;

    int run() const;
};

int collect_command::run() const {
    static_cast<void>(claims::lease()); // what is wrong with it is found before the folder is made
    json question;
    divided work;
    for (const std::string& part : parts) {
        json asked = read_object(fs::path(part) / ".pali" / "question.json");
        asked.erase("collected");
        if (question.is_null()) question = asked;
        if (const std::string other = differences(asked, question); !other.empty())
            throw pali::error(pali::errc::invalid_argument, {part, ": holds answers to another question than ", parts.front(), ": ", other});
        work.read(part);
    }
    question["collected"] = true; // names are relative to folders of pictures that need not be here: no run can go on in this folder
    result_folder results(out, question, formats.chosen(false), std::nullopt, overwrite);
    results.expect({});
    std::size_t twice = 0;
    for (const std::string& part : parts) twice += results.collect(part);
    results.finish();
    std::cout << out << ": " << results.size() << " pictures" << (twice > 0 ? "; " + std::to_string(twice) + " were in several parts and are kept once" : "") << '\n';
    const std::string missing = work.missing(results.size());
    if (missing.empty()) return 0;
    std::cerr << "pali: " << missing << '\n';
    return exit_bad_file;
}

} // namespace

void result_folder::note_shard(std::size_t index, std::size_t count, std::optional<std::size_t> pictures) {
    json about{{"index", index}, {"count", count}};
    if (pictures) about["pictures"] = *pictures;
    pali::write_file(made(m_state / "shards") / (std::to_string(index) + "-of-" + std::to_string(count) + ".json"), line_of(about) + '\n');
}

std::size_t result_folder::collect(const fs::path& from) {
    const answers theirs(from / ".pali", nullptr);
    std::error_code unknown;
    const json about = json::parse(std::ifstream(from / ".pali" / "formats.json"), nullptr, false);
    std::optional<std::string> root;
    if (about.is_object() && about.contains("pictures") && !about.at("pictures").is_null()) root = stored::name_of(about, "pictures");
    std::size_t twice = 0;
    for (const std::string& key : theirs.keys()) {
        json line = theirs.read(key);
        const bool was_collected = line.contains("at") || line.contains("collected");
        const std::string file = was_collected ? key : root && key.starts_with(*root) ? key.substr(root->size()) : stored::name_of(line, "given");
        if (m_answers.has_answer(file)) {
            ++twice;
            continue;
        }
        json made;
        add_name(made, "key", file);
        add_name(made, "given", file);
        made["collected"] = true;
        const std::string at = line.contains("at") ? stored::name_of(line, "at") : key;
        if (const fs::path picture = from / at; !was_collected || line.contains("at"))
            if (fs::exists(picture, unknown)) add_name(made, "at", name_of(picture).key);
        const picture_name named{.path = file, .given = file, .key = file};
        const std::string their_stem = stored::name_of(line, "stem"), stem = their_stem.empty() ? std::string() : stem_of(named);
        if (!stem.empty()) add_name(made, "stem", stem);
        json& answer = made["answer"] = std::move(line.at("answer"));
        std::vector<std::pair<std::string, std::string>> copies; // theirs, ours
        for (json& one : answer.contains("objects") ? answer["objects"] : answer)
            if (const std::string mask = stored::name_of(one, "mask"); !mask.empty()) {
                copies.emplace_back(mask, stem + mask.substr(std::min(their_stem.size(), mask.size())));
                add_name(one, "mask", copies.back().second);
            }
        const std::string drawing = theirs.drawing(key), own_drawing = drawing.empty() ? drawing : stem + drawing.substr(std::min(their_stem.size(), drawing.size()));
        if (!drawing.empty()) copies.emplace_back(drawing, own_drawing);
        std::vector<std::string> names;
        for (const auto& [their, our] : copies) names.push_back(our);
        record(names);
        for (const auto& [their, our] : copies) copy_result(from / their, m_folder / our);
        if (line.contains("rle")) made["rle"] = std::move(line["rle"]);
        m_answers.add(made);
        if (drawing.empty()) continue;
        json note;
        add_name(note, "key", file);
        add_name(note, "drawing", own_drawing);
        m_answers.add(note);
    }
    return twice;
}

command add_collect(CLI::App& program) {
    CLI::App* app = program.add_subcommand("collect", "Merge folders of results, parts of one job for instance, into one");
    auto chosen = std::make_shared<collect_command>();
    app->add_option("parts", chosen->parts, "Folders that pali detect, segment, caption or ask wrote by --out")->required()->type_name("PART...");
    app->add_option("-o,--out", chosen->out, "Folder for the whole")->required()->type_name("DIR");
    chosen->formats.add_to(*app);
    app->add_flag("--overwrite", chosen->overwrite, "Replace files in --out that pali did not write");
    return [chosen] { return chosen->run(); };
}
