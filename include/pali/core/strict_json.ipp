// JSON files that are not trusted: bounded in size and depth, no key twice. Included by bodies only: no header shows nlohmann/json.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <vector>

namespace pali::inline PALI_ABI::detail {

/// Parses an object. Throws errc::cannot_open, or `fault` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc fault) {
    using json = nlohmann::json;
    constexpr std::size_t largest = std::size_t{64} << 20, deepest = 64; // an index of shards has 100 KB, a tokenizer.json 17 MB
    const auto fail = [&](const std::string& what) { throw error(fault, path.string() + ": " + what); };
    std::error_code failure;
    if (!std::filesystem::is_regular_file(path, failure)) throw error(errc::cannot_open, path.string() + ": there is no such file");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw error(errc::cannot_open, path.string() + ": cannot be read");
    std::string text;
    for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
        text.append(part, static_cast<std::size_t>(in.gcount()));
        if (text.size() > largest) fail("has more than " + std::to_string(largest) + " bytes, the most that are read");
    }
    if (in.bad()) throw error(errc::cannot_open, path.string() + ": cannot be read to its end");
    if (text.empty()) fail("is empty; a JSON object is needed");
    if (text.find('\0') != std::string::npos) fail("holds a zero byte, at which a parser could stop; it is no JSON");

    struct level {
        std::set<std::string> keys;
        std::string key;
    };
    std::vector<level> levels;
    const json::parser_callback_t check = [&](int, json::parse_event_t event, json& value) {
        if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
            if (levels.size() == deepest) fail("is nested more than " + std::to_string(deepest) + " deep");
            levels.emplace_back();
        } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
            levels.pop_back();
        } else if (event == json::parse_event_t::key) {
            levels.back().key = value.get<std::string>();
            if (levels.back().keys.insert(levels.back().key).second) return true;
            std::string where;
            for (const level& l : levels) where += (where.empty() || l.key.empty() ? "" : ".") + l.key;
            fail("has " + in_quotes(where) + " twice; a key is used once");
        }
        return true;
    };
    json document;
    try {
        document = json::parse(text, check);
    } catch (const json::parse_error& e) {
        fail("is no valid JSON: see byte " + std::to_string(e.byte));
    } catch (const json::exception&) {
        fail("is no valid JSON: it holds a number that is too large");
    }
    if (!document.is_object()) fail(std::string("is ") + document.type_name() + "; a JSON object is needed");
    return document;
}

} // namespace pali::inline PALI_ABI::detail
