// pali collect: merges several results folders into one.
#include "console.hpp"
#include "file_content.hpp"
#include "options.hpp"
#include "report.hpp"
#include "results.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/objects/impl/json_values.ipp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using pali::objects::add_name;

json read_object(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    json read = file ? json::parse(file, nullptr, false) : json();
    if (!read.is_object())
        throw pali::error(pali::errc::cannot_open,
                          {path.string(), ": cannot be read; PART must be an --out folder of pali detect, segment, caption or ask"});
    return read;
}

void copy_result(const fs::path& from, const fs::path& to) {
    std::error_code failed;
    fs::create_directories(to.parent_path(), failed);
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, failed);
    if (failed)
        throw pali::error(pali::errc::cannot_write, {to.string(), ": cannot be copied from ", from.string(), ": ", failed.message()});
}

/// Which shards the parts are, to detect missing shards.
class divided {
public:
    void read(const fs::path& part) {
        std::error_code failed;
        for (fs::directory_iterator entry(part / ".pali" / "shards", failed), end; !failed && entry != end; entry.increment(failed)) {
            const json one = read_object(entry->path());
            const auto index = one.at("index").get<std::size_t>(), count = one.at("count").get<std::size_t>();
            if (m_count != 0 && count != m_count)
                throw pali::error(pali::errc::invalid_argument, {part.string(), ": is part ", index, " of ", count,
                                                                 ", but another folder is one of ", m_count, " parts"});
            m_count = count;
            m_there.insert(index);
            if (one.contains("images")) m_images = std::max(m_images, one.at("images").get<std::size_t>());
        }
    }

    /// Describes missing parts and images; empty if nothing is known to be missing.
    [[nodiscard]] std::string missing(std::size_t answers) const {
        std::string text;
        std::size_t parts = 0;
        constexpr std::size_t most_named = 10;
        for (std::size_t i = 0; i < m_count; ++i)
            if (!m_there.contains(i) && parts++ < most_named) text += (text.empty() ? "" : ", ") + std::to_string(i);
        if (m_images > 0 && answers >= m_images) return {};
        if (parts > 0) text = "missing parts, of " + std::to_string(m_count) + ": " + text + (parts > most_named ? ", ..." : "");
        if (answers < m_images)
            text += (text.empty() ? "" : "; ") + std::to_string(m_images - answers) + " of " + std::to_string(m_images) +
                    " images have no answer";
        return text;
    }

private:
    std::size_t m_count = 0, m_images = 0;
    std::set<std::size_t> m_there;
};

/// The answers of another folder, with the names of images in its results.
struct collected_part {
    answers all;
    std::vector<std::pair<std::string, std::string>> names; ///< name, key

    explicit collected_part(const fs::path& folder)
        : all(folder / ".pali"),
          names(names_in_results(all, folder_in(json::parse(std::ifstream(folder / ".pali" / "formats.json"), nullptr, false)))) {}
};

/// Throws `invalid_argument` if two folders have different images of the same name.
void check_parts(const std::vector<std::string>& parts) {
    std::map<std::string, std::pair<std::string, std::string>> first; // name -> hash and folder
    for (const std::string& part : parts) {
        const collected_part one(part);
        for (const auto& [name, key] : one.names) {
            const auto [known, is_new] = first.try_emplace(name, one.all.hash(key), part);
            if (!is_new && known->second.first != one.all.hash(key))
                throw pali::error(pali::errc::invalid_argument,
                                  {part, " and ", known->second.second, " have answers for two different images with the same name, ",
                                   pali::core::in_quotes(name)});
        }
    }
}

struct collect_command {
    std::vector<std::string> parts;
    std::string out;
    format_options formats;
    bool overwrite = false;

    int run() const;
};

int collect_command::run() const {
    static_cast<void>(claims::lease()); // reports an invalid PALI_LEASE_SECONDS before the folder is created
    json question;
    divided work;
    for (const std::string& part : parts) {
        json asked = read_object(fs::path(part) / ".pali" / "question.json");
        asked.erase("collected");
        if (question.is_null()) question = asked;
        if (const std::string other = differences(asked, question); !other.empty())
            throw pali::error(pali::errc::invalid_argument, {part, ": has answers to another question than ", parts.front(), ": ", other});
        work.read(part);
    }
    question["collected"] = true; // no run can continue in this folder: names are relative to image folders that may not exist here
    check_parts(parts);
    result_folder results(out, question, formats.chosen(false), std::nullopt, overwrite);
    results.join({});
    std::size_t twice = 0;
    for (const std::string& part : parts) twice += results.collect(part);
    results.finish();
    std::cout << out << ": " << results.size() << " images"
              << (twice > 0 ? "; " + std::to_string(twice) + " were in several parts and kept once" : "") << '\n';
    const std::string missing = work.missing(results.size());
    if (missing.empty()) return 0;
    std::cerr << "pali: " << missing << '\n';
    return exit_bad_file;
}

} // namespace

void result_folder::note_shard(std::size_t index, std::size_t count, std::optional<std::size_t> images) {
    json about{{"index", index}, {"count", count}};
    if (images) about["images"] = *images;
    pali::core::write_file(made(m_state / "shards") / (std::to_string(index) + "-of-" + std::to_string(count) + ".json"),
                           line_of(about) + '\n');
}

std::size_t result_folder::collect(const fs::path& from) {
    const collected_part part(from);
    const answers& theirs = part.all;
    std::error_code unknown;
    std::size_t twice = 0;
    for (const auto& [file, key] : part.names) {
        const bool is_known = m_answers.has_answer(file);
        if (is_known && m_answers.hash(file) == theirs.hash(key)) {
            ++twice;
            continue;
        }
        json line = theirs.read(key), made;
        add_name(made, "key", file);
        made["version"] = is_known ? m_answers.version(file) + 1 : 1; // replaces the version that was collected before
        add_name(made, "given", file);
        const std::vector<std::string> places = theirs.places(key);
        const auto at =
            std::find_if(places.rbegin(), places.rend(), [&](const std::string& place) { return fs::exists(from / place, unknown); });
        if (at != places.rend()) add_name(made, "at", name_of(from / *at).place);
        made["size"] = theirs.size_of_image(key);
        made["hash"] = theirs.hash(key);
        const image_name named{.path = file, .given = file, .place = {}, .name = file, .key = file};
        const std::string their_stem = pali::objects::name_of(line, "stem"), stem = their_stem.empty() ? std::string() : stem_of(named);
        if (!stem.empty()) add_name(made, "stem", stem);
        json& answer = made["answer"] = std::move(line.at("answer"));
        std::vector<std::pair<std::string, std::string>> copies; // theirs, ours
        for (json& one : answer.contains("objects") ? answer["objects"] : answer)
            if (const std::string mask = pali::objects::name_of(one, "mask"); !mask.empty()) {
                copies.emplace_back(mask, stem + mask.substr(std::min(their_stem.size(), mask.size())));
                add_name(one, "mask", copies.back().second);
            }
        const std::string drawing = theirs.drawing(key),
                          own_drawing = drawing.empty() ? drawing : stem + drawing.substr(std::min(their_stem.size(), drawing.size()));
        if (!drawing.empty()) copies.emplace_back(drawing, own_drawing);
        std::vector<std::string> names;
        for (const auto& [their, our] : copies) names.push_back(our);
        record(names);
        if (is_known) remove_stale(m_answers.masks(file), names, named);
        for (const auto& [their, our] : copies) copy_result(from / their, m_folder / our);
        if (line.contains("rle")) made["rle"] = std::move(line["rle"]);
        m_answers.add(made);
        if (drawing.empty()) continue;
        json note;
        add_name(note, "key", file);
        note["version"] = made["version"];
        add_name(note, "drawing", own_drawing);
        m_answers.add(note);
    }
    return twice;
}

command add_collect(CLI::App& program) {
    CLI::App* app = program.add_subcommand("collect", "Merge result folders, such as the parts of one job");
    auto chosen = std::make_shared<collect_command>();
    app->add_option("parts", chosen->parts, "--out folders of pali detect, segment, caption or ask")->required()->type_name("PART...");
    app->add_option("-o,--out", chosen->out, "Folder for the merged results")->required()->type_name("DIR");
    chosen->formats.add_to(*app);
    app->add_flag("--overwrite", chosen->overwrite, "Replace files in --out that pali did not write");
    return [chosen] { return chosen->run(); };
}
