// Parsing of untrusted JSON files, bounded in size and depth. Included by bodies only, so that no header exposes nlohmann/json.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/core/require_path.ipp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// SAX handler (nlohmann) that builds the document event by event. If a key occurs twice, calls `repeated` and keeps the later value.
class strict_json_reader {
public:
    using json = nlohmann::json;
    /// Receives a value that is replaced, and the keys that lead to it, outermost first.
    using repetition = std::function<void(const std::vector<std::string_view>& path, const json& earlier)>;

    strict_json_reader(json& to, const std::function<void(error_text&&)>& fail, const repetition& repeated)
        : m_to(to), m_fail(fail), m_repeated(repeated) {}

    bool null() { return add(nullptr); }
    bool boolean(bool value) { return add(value); }
    bool number_integer(std::int64_t value) { return add(value); }
    bool number_unsigned(std::uint64_t value) { return add(value); }
    bool number_float(double value, const std::string&) { return add(value); }
    bool string(std::string& value) { return add(std::move(value)); }
    bool binary(json::binary_t&) { return false; } // does not occur in JSON text
    bool start_object(std::size_t) { return open(json::object()); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(std::string& name) {
        level& here = m_open.back();
        const auto [at, added] = here.value->get_ref<json::object_t&>().try_emplace(name);
        here.at = &at->second;
        here.key = at->first;
        if (added) return true;
        std::vector<std::string_view> path;
        for (const level& l : m_open)
            if (l.value->is_object()) path.push_back(l.key);
        m_repeated(path, at->second);
        return true;
    }
    bool parse_error(std::size_t byte, const std::string&,
                     const nlohmann::detail::exception& what) { // the parser's own message would quote the file
        if (dynamic_cast<const json::out_of_range*>(&what) != nullptr) m_fail("is not valid JSON: it contains a number that is too large");
        m_fail({"is not valid JSON: error at byte ", byte});
        return false;
    }

private:
    static constexpr std::size_t deepest = 64;

    struct level {
        json* value;               // an object or an array
        json* at = nullptr;        // where the value of the object's last key goes
        std::string_view key = {}; // that key
    };

    json* put(json&& value) {
        if (m_open.empty()) return &(m_to = std::move(value));
        level& here = m_open.back();
        if (here.value->is_object()) return &(*here.at = std::move(value));
        return &here.value->get_ref<json::array_t&>().emplace_back(std::move(value));
    }
    bool add(json value) {
        put(std::move(value));
        return true;
    }
    bool open(json value) {
        if (m_open.size() == deepest) m_fail({"is nested more than ", deepest, " deep"});
        m_open.push_back({put(std::move(value))});
        return true;
    }
    bool close() {
        m_open.pop_back();
        return true;
    }

    json& m_to;
    const std::function<void(error_text&&)>& m_fail;
    const repetition& m_repeated;
    std::vector<level> m_open; // pointers to open levels stay valid: an array grows only while none of its elements is open
};

/// Parses a text of bounded depth in linear time. `fail` receives the error and must throw. `repeated` receives each value that a later
/// value with the same key replaces, and may throw. All JSON of a checkpoint except tokenizer.json is parsed by this function, because each
/// combination of input and handler types instantiates nlohmann's parser again, which takes two seconds of compile time.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, const std::function<void(error_text&&)>& fail,
                                               const strict_json_reader::repetition& repeated) {
    nlohmann::json document;
    strict_json_reader reader(document, fail, repeated);
    (void)nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader);
    return document;
}

/// Same, for a text in which no key may occur twice.
[[nodiscard]] inline nlohmann::json parse_strict_json(std::string_view text, const std::function<void(error_text&&)>& fail) {
    return parse_json(text, fail, [&](const std::vector<std::string_view>& path, const nlohmann::json&) {
        std::string where;
        for (const std::string_view key : path) (where += where.empty() ? "" : ".") += key;
        fail({"has ", in_quotes(where), " twice; keys must be unique"});
    });
}

/// Formats a value as JSON, truncated to 80 characters.
[[nodiscard]] inline std::string describe_json(const nlohmann::json& value) {
    const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return text.size() <= 80 ? text : text.substr(0, 76) + " ...";
}

/// Reads and parses a file that holds an object. Throws errc::cannot_open, or `code` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc code) {
    constexpr std::size_t largest = std::size_t{64} << 20; // a shard index has about 100 KB; tokenizer.json has its own reader
    const auto fail = [&](error_text&& what) { throw error(code, {path.string(), ": ", std::move(what).str()}); };
    std::ifstream in = open_file(path);
    std::string text;
    for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
        text.append(part, static_cast<std::size_t>(in.gcount()));
        if (text.size() > largest) fail({"has more than ", largest, " bytes, the supported maximum"});
    }
    if (in.bad()) throw error(errc::cannot_open, {path.string(), ": cannot be read to the end"});
    if (text.empty()) fail("is empty; a JSON object is needed");
    if (is_lfs_pointer(text)) throw error(code, {path.string(), lfs_pointer_words});
    if (text.find('\0') != std::string::npos) fail("contains a zero byte, at which a parser could stop; it is not JSON");
    nlohmann::json document = parse_strict_json(text, fail);
    if (!document.is_object()) fail({"is ", document.type_name(), "; a JSON object is needed"});
    return document;
}

}}} // namespace pali::PALI_ABI::core
