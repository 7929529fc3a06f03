// JSON files that are not trusted: bounded in size and depth, no key twice. Included by bodies only: no header shows nlohmann/json.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/require_path.ipp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI::detail {

/// Parses a text in which no key occurs twice and nothing is nested deep. `fail` gets what is wrong, and throws. All JSON of a checkpoint but tokenizer.json is parsed here: nlohmann's parser
/// is instantiated for each kind of text and of receiver, one to two seconds each. Its json_sax would bring its readers of binary formats along, half as much again.
[[nodiscard]] inline nlohmann::json parse_strict_json(std::string_view text, const std::function<void(const error_text&)>& fail) {
    using json = nlohmann::json;
    constexpr std::size_t deepest = 64;
    struct level {
        std::set<std::string, std::less<>> keys = {};
        std::string key = {}; // the last of them
    };
    std::vector<level> open;
    const auto check = [&](int, json::parse_event_t event, json& value) {
        switch (event) {
        case json::parse_event_t::object_start:
        case json::parse_event_t::array_start:
            if (open.size() == deepest) fail({"is nested more than ", deepest, " deep"});
            open.emplace_back();
            break;
        case json::parse_event_t::object_end:
        case json::parse_event_t::array_end: open.pop_back(); break;
        case json::parse_event_t::key: {
            level& here = open.back();
            here.key = value.get_ref<const std::string&>();
            if (here.keys.insert(here.key).second) break;
            std::string where;
            for (const level& l : open) where += (where.empty() || l.key.empty() ? "" : ".") + l.key;
            fail({"has ", in_quotes(where), " twice; a key is used once"});
        } break;
        case json::parse_event_t::value: break;
        }
        return true;
    };
    try {
        return json::parse(text.data(), text.data() + text.size(), check);
    } catch (const json::parse_error& e) { // the parser's own words would quote the file
        fail({"is no valid JSON: see byte ", e.byte});
    } catch (const json::out_of_range&) {
        fail("is no valid JSON: it holds a number that is too large");
    }
    return {};
}

/// A value as JSON, shortened.
[[nodiscard]] inline std::string describe_json(const nlohmann::json& value) {
    const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return text.size() <= 80 ? text : text.substr(0, 76) + " ...";
}

/// Parses an object. Throws errc::cannot_open, or `code` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc code) {
    constexpr std::size_t largest = std::size_t{64} << 20; // an index of shards has 100 KB; tokenizer.json has a reader of its own
    const auto fail = [&](const error_text& what) { throw error(code, {path.string(), ": ", what}); };
    std::ifstream in = open_file(path);
    std::string text;
    for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
        text.append(part, static_cast<std::size_t>(in.gcount()));
        if (text.size() > largest) fail({"has more than ", largest, " bytes, the most that are read"});
    }
    if (in.bad()) throw error(errc::cannot_open, {path.string(), ": cannot be read to its end"});
    if (text.empty()) fail("is empty; a JSON object is needed");
    if (text.find('\0') != std::string::npos) fail("holds a zero byte, at which a parser could stop; it is no JSON");
    nlohmann::json document = parse_strict_json(text, fail);
    if (!document.is_object()) fail({"is ", document.type_name(), "; a JSON object is needed"});
    return document;
}

} // namespace pali::inline PALI_ABI::detail
