// JSON files that are not trusted: bounded in size and depth, no key twice. Included by bodies only: no header shows nlohmann/json.
#pragma once

#include <pali/core/error.hpp>
#include <pali/files/describe.hpp>
#include <pali/files/mmap.hpp>

#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace pali::inline PALI_ABI::detail {

/// Parses an object. Throws errc::cannot_open, or `fault` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc fault) {
    using json = nlohmann::json;
    constexpr std::size_t largest = std::size_t{64} << 20, deepest = 64; // an index of shards has 100 KB, a tokenizer.json 17 MB
    const mapped_file file(path);
    const auto fail = [&](const std::string& what) { throw error(fault, path.string() + ": " + what); };
    if (file.bytes().size() > largest)
        fail("has " + std::to_string(file.bytes().size()) + " bytes; at most " + std::to_string(largest) + " are read");
    const char* const begin = reinterpret_cast<const char*>(file.bytes().data());
    const char* const end = begin + file.bytes().size();
    if (begin == end) fail("is empty; a JSON object is needed");
    if (std::memchr(begin, 0, file.bytes().size()) != nullptr) fail("holds a zero byte, at which a parser could stop; it is no JSON");

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
            std::string where;
            for (const level& l : levels) where += (where.empty() || l.key.empty() ? "" : ".") + l.key;
            if (!levels.back().keys.insert(levels.back().key).second) fail("has " + in_quotes(where) + " twice; a key is used once");
        }
        return true;
    };
    json document;
    try {
        document = json::parse(begin, end, check);
    } catch (const json::parse_error& e) {
        fail("is no valid JSON: see byte " + std::to_string(e.byte));
    } catch (const json::exception&) {
        fail("is no valid JSON: it holds a number that is too large");
    }
    if (!document.is_object()) fail(std::string("is ") + document.type_name() + "; a JSON object is needed");
    return document;
}

} // namespace pali::inline PALI_ABI::detail
