// JSON files that are not trusted: bounded in size and depth, no key twice. Included by bodies only: no header shows nlohmann/json.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pali::inline PALI_ABI::detail {

/// Takes what a JSON text says, in its order, by nlohmann's names; parse_error() must throw.
using json_events = nlohmann::json_sax<nlohmann::json>;

/// All JSON of a checkpoint is parsed here: a parser is instantiated for each kind of text and of receiver, one to two seconds and 25 KB of code each.
inline void parse_json(std::string_view text, json_events& to) { nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &to); }

/// Builds a document.
class strict_document final : public json_events {
public:
    using json = nlohmann::json;

    strict_document(std::string file, errc code) : m_file(std::move(file)), m_code(code) {}

    json document;

    [[noreturn]] void fail(const std::string& what) const { throw error(m_code, m_file + ": " + what); }

    bool null() override { return put({}); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(std::int64_t value) override { return put(value); }
    bool number_unsigned(std::uint64_t value) override { return put(value); }
    bool number_float(double value, const std::string&) override { return put(value); }
    bool string(std::string& value) override { return put(std::move(value)); }
    bool binary(binary_t&) override { return false; } // is in no text
    bool start_object(std::size_t) override { return open(json::value_t::object); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(json::value_t::array); }
    bool end_array() override { return close(); }

    bool key(std::string& name) override {
        level& here = m_open.back();
        const auto [member, is_new] = here.value->get_ref<json::object_t&>().try_emplace(name);
        here.key = std::move(name);
        here.member = &member->second;
        if (is_new) return true;
        std::string where;
        for (const level& l : m_open) where += (where.empty() || l.key.empty() ? "" : ".") + l.key;
        fail("has " + in_quotes(where) + " twice; a key is used once");
    }

    bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& e) override {
        if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) fail("is no valid JSON: it holds a number that is too large");
        fail("is no valid JSON: see byte " + std::to_string(byte));
    }

private:
    struct level {
        json* value;            // an array or an object
        std::string key = {};   // the last of an object
        json* member = nullptr; // its place
    };
    static constexpr std::size_t deepest = 64;

    json* place() {
        if (m_open.empty()) return &document;
        const level& here = m_open.back();
        return here.value->is_array() ? &here.value->get_ref<json::array_t&>().emplace_back() : here.member;
    }
    bool put(json value) { return *place() = std::move(value), true; }
    bool open(json::value_t type) {
        if (m_open.size() == deepest) fail("is nested more than " + std::to_string(deepest) + " deep");
        json* const value = place();
        *value = json(type);
        return m_open.push_back({value}), true;
    }
    bool close() { return m_open.pop_back(), true; }

    std::string m_file;
    errc m_code;
    std::vector<level> m_open; // what contains them does not grow while they are open
};

/// Parses an object. Throws errc::cannot_open, or `code` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc code) {
    constexpr std::size_t largest = std::size_t{64} << 20; // an index of shards has 100 KB, a tokenizer.json 17 MB
    strict_document reader(path.string(), code);
    std::error_code failure;
    if (!std::filesystem::is_regular_file(path, failure)) throw error(errc::cannot_open, path.string() + ": there is no such file");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw error(errc::cannot_open, path.string() + ": cannot be read");
    std::string text;
    for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
        text.append(part, static_cast<std::size_t>(in.gcount()));
        if (text.size() > largest) reader.fail("has more than " + std::to_string(largest) + " bytes, the most that are read");
    }
    if (in.bad()) throw error(errc::cannot_open, path.string() + ": cannot be read to its end");
    if (text.empty()) reader.fail("is empty; a JSON object is needed");
    if (text.find('\0') != std::string::npos) reader.fail("holds a zero byte, at which a parser could stop; it is no JSON");
    parse_json(text, reader);
    if (!reader.document.is_object()) reader.fail(std::string("is ") + reader.document.type_name() + "; a JSON object is needed");
    return std::move(reader.document);
}

} // namespace pali::inline PALI_ABI::detail
