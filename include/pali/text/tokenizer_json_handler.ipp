// SAX handler for tokenizer.json as transformers saves it for GemmaTokenizer. The file has 34 MB; neither its text nor a DOM is kept.
// Implementation header.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/file_bytes.ipp>
#include <pali/core/strict_json.ipp>
#include <pali/text/added_tokens.ipp>
#include <pali/text/byte_pair_merges.ipp>
#include <pali/text/vocabulary.ipp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// The parts of a tokenizer.json that encoding needs. `words` refers to the memory of `texts`, whose address does not change when the
/// object is moved.
struct tokenizer_json {
    std::vector<char> texts;
    vocabulary words;
    std::vector<piece_merge> merges; // by rank
    std::vector<added_token> added;
    token unknown = 0;
};

/// SAX event handler. Each open container has a kind, determined by its path.
class tokenizer_json_handler {
public:
    using json = nlohmann::json;

    /// `added_only`: stops when `added_tokens` is complete and `model` begins, and reads nothing of `model`.
    tokenizer_json_handler(const std::string& file, tokenizer_json& out, bool added_only)
        : m_file(file), m_out(out), m_added_only(added_only) {}

    /// Prepares a second pass that reads only the merges; needed if they came before the vocabulary.
    [[nodiscard]] bool begin_again() {
        m_settings.clear();
        return m_again = std::exchange(m_merges_early, false);
    }
    [[nodiscard]] bool has_vocabulary() const noexcept { return m_vocabulary; }
    [[nodiscard]] bool has_merges() const noexcept { return m_merges; }
    [[nodiscard]] bool has_added() const noexcept { return m_added; }
    /// Scalars outside the long lists, by path: "model.type", "normalizer.pattern.String".
    [[nodiscard]] const std::map<std::string, json, std::less<>>& settings() const noexcept { return m_settings; }

    [[noreturn]] void fail(error_text&& what) const { throw error(errc::malformed_tokenizer, {m_file, ": ", std::move(what).str()}); }
    [[noreturn]] void refuse(error_text&& what) const {
        throw error(errc::unsupported_format,
                    {m_file, ": ", std::move(what).str(),
                     "; files of transformers' GemmaTokenizer are supported (BPE with byte fallback over unmodified text), those of "
                     "TokenizersBackend are not: replace tokenizer.json in the folder by the tokenizer.model of the base model"});
    }

    bool null() { return value(nullptr); }
    bool boolean(bool v) { return value(v); }
    bool number_integer(json::number_integer_t v) { return value(v); }
    bool number_unsigned(json::number_unsigned_t v) {
        if (m_open.empty() || m_open.back() != kind::vocabulary) return value(v);
        add_piece(v);
        return true;
    }
    bool number_float(json::number_float_t v, const std::string&) { return value(v); }
    bool binary(json::binary_t&) { return true; }
    bool string(std::string& v) {
        if (m_open.empty()) return value(v);
        if (m_open.back() == kind::merges) {
            const std::size_t space = v.find(' ');
            if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos)
                fail({"model.merges[", m_out.merges.size(), "] is ", in_quotes(v), "; two pieces with one space between them are needed"});
            m_pair[0] = v.substr(0, space);
            m_pair[1] = v.substr(space + 1);
            add_merge();
        } else if (m_open.back() == kind::merge) {
            if (m_pair_size < 2) m_pair[m_pair_size].swap(v);
            ++m_pair_size;
        } else {
            return value(v);
        }
        return true;
    }
    bool key(std::string& name) {
        m_key.swap(name);
        return true;
    }
    bool start_object(std::size_t) { return open(true); }
    bool start_array(std::size_t) { return open(false); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t byte, const std::string&, const json::exception& e) {
        if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) fail("is not valid JSON: it contains a number that is too large");
        fail({"is not valid JSON: error at byte ", byte}); // the parser's own message would quote the file
    }

private:
    enum class kind { top, model, vocabulary, merges, merge, added, added_entry, settings, ignored };

    static constexpr std::uint32_t no_id = 0xffffffff;
    struct entry {
        std::size_t at = 0;
        std::uint32_t length = 0, id = 0;
    };

    /// Path of the value being read.
    [[nodiscard]] std::string path() const {
        std::string out;
        for (const std::string& name : m_names) out += name + '.';
        return out + m_key;
    }

    bool value(const json& v) {
        if (m_open.empty()) fail({"is ", v.type_name(), "; an object is needed"});
        switch (m_open.back()) {
        case kind::vocabulary:
            fail({"model.vocab: ", in_quotes(m_key), " has the id ", describe_json(v), "; an integer of 0 or more is needed"});
        case kind::merges:
            fail({"model.merges[", m_out.merges.size(), "] is ", v.type_name(), "; two pieces are needed"});
        case kind::merge:
            fail({"model.merges[", m_out.merges.size(), "] contains ", v.type_name(), "; two pieces are needed"});
        case kind::added:
            fail({"added_tokens[", m_out.added.size(), "] is ", v.type_name(), "; an object is needed"});
        case kind::added_entry:
            set_flag(v);
            break;
        case kind::ignored:
            break;
        default:
            set(path(), v);
        }
        return true;
    }

    void set(std::string where, const json& v) {
        constexpr std::size_t most = 256; // a file saved by transformers has 17
        if (m_settings.size() == most) refuse({"has more than ", most, " settings outside vocab, merges and added_tokens"});
        if (const auto [at, fresh] = m_settings.emplace(std::move(where), v); !fresh)
            fail({"has ", in_quotes(at->first), " twice; keys must be unique"});
    }

    [[nodiscard]] kind kind_of(bool object) {
        const auto need = [&](bool wanted) {
            if (object != wanted)
                fail({in_quotes(path()), " is ", object ? "an object" : "an array", "; ", wanted ? "an object" : "an array", " is needed"});
            set(path(), object ? "{}" : "[]");
        };
        if (m_open.empty()) {
            if (!object) fail("is an array; an object is needed");
            return kind::top;
        }
        switch (m_open.back()) {
        case kind::top:
            if (m_key == "added_tokens") return need(false), m_added = true, m_again ? kind::ignored : kind::added;
            if (m_key == "model") return need(true), m_added_only ? kind::ignored : kind::model;
            if (m_key == "normalizer" || m_key == "pre_tokenizer") return set(path(), "{}"), kind::settings;
            return set(path(), "{}"), kind::ignored; // decoder, post_processor, truncation, padding: not used by pali
        case kind::model:
            if (m_key == "vocab") return need(true), m_again ? kind::ignored : kind::vocabulary;
            if (m_key == "merges") {
                need(false);
                m_merges = true;
                if (m_vocabulary) return kind::merges;
                m_merges_early = true;
                return kind::ignored;
            }
            return set(path(), "{}"), kind::settings;
        case kind::added:
            if (!object) fail({"added_tokens[", m_out.added.size(), "] is an array; an object is needed"});
            m_entry = {};
            m_entry_keys.clear();
            return kind::added_entry;
        case kind::merges:
            if (object) fail({"model.merges[", m_out.merges.size(), "] is an object; two pieces are needed"});
            m_pair_size = 0;
            return kind::merge;
        case kind::settings:
            return object ? kind::settings : (set(path(), "[]"), kind::ignored);
        case kind::ignored:
            return kind::ignored;
        default:
            return value(object ? json::object() : json::array()), kind::ignored; // throws
        }
    }

    bool open(bool object) {
        constexpr std::size_t deepest = 64;
        if (m_open.size() == deepest) fail({"is nested more than ", deepest, " deep"});
        if (m_added_only && m_open.size() == 1 && m_added && m_key == "model") return false; // everything needed has been read
        m_open.push_back(kind_of(object));
        if (m_open.size() > 1) m_names.push_back(m_key);
        return true;
    }

    bool close() {
        const kind closed = m_open.back();
        m_open.pop_back();
        if (!m_names.empty()) m_names.pop_back();
        if (closed == kind::vocabulary) finish_vocabulary();
        if (closed == kind::merge) {
            if (m_pair_size != 2) fail({"model.merges[", m_out.merges.size(), "] has ", m_pair_size, " pieces; two are needed"});
            add_merge();
        }
        if (closed == kind::added_entry) finish_entry();
        return true;
    }

    void add_piece(std::uint64_t id) {
        if (id > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
            fail({"model.vocab: ", in_quotes(m_key), " has the id ", id, ", which is too large"});
        m_entries.push_back({m_out.texts.size(), static_cast<std::uint32_t>(m_key.size()), static_cast<std::uint32_t>(id)});
        m_out.texts.insert(m_out.texts.end(), m_key.begin(), m_key.end());
    }

    void finish_vocabulary() {
        const auto text_of = [&](const entry& e) { return std::string_view(m_out.texts.data() + e.at, e.length); };
        std::vector<model_piece>& pieces = m_out.words.pieces;
        pieces.resize(m_entries.size());
        std::vector<bool> seen(m_entries.size());
        for (const entry& e : m_entries) {
            if (e.id >= pieces.size())
                fail({"model.vocab: ", in_quotes(text_of(e)), " has the id ", e.id, ", but there are only ", pieces.size(),
                      " pieces; ids must have no gaps"});
            if (seen[e.id])
                fail({"model.vocab: ", in_quotes(pieces[e.id].text), " and ", in_quotes(text_of(e)), " have the same id ", e.id});
            seen[e.id] = true;
            pieces[e.id].text = text_of(e);
            if (byte_of_piece(text_of(e)) >= 0) pieces[e.id].type = piece_type::byte;
        }
        m_entries = {};
        check_pieces(m_out.words, m_file);
        m_vocabulary = true;
    }

    void add_merge() {
        const auto find = [&](const std::string& text) {
            if (const auto id = m_out.words.find(text)) return static_cast<std::uint32_t>(*id);
            fail({"model.merges[", m_out.merges.size(), "] joins ", in_quotes(m_pair[0]), " and ", in_quotes(m_pair[1]), ", and ",
                  in_quotes(text), " is not in model.vocab"});
        };
        const std::uint32_t left = find(m_pair[0]), right = find(m_pair[1]);
        m_joined.assign(m_pair[0]).append(m_pair[1]);
        const std::uint32_t before = m_out.merges.empty() ? 0 : m_out.merges.back().result; // successive merges often form the same piece
        m_out.merges.push_back({left, right, m_out.words.pieces[before].text == m_joined ? before : find(m_joined)});
    }

    void set_flag(const json& v) {
        const auto where = [&] { return "added_tokens[" + std::to_string(m_out.added.size()) + "]." + m_key; };
        if (!m_entry_keys.emplace(m_key, 0).second) fail({"has ", in_quotes(where()), " twice; keys must be unique"});
        const auto need = [&](bool right, const char* what) {
            if (!right) fail({in_quotes(where()), " is ", describe_json(v), "; ", what, " is needed"});
        };
        if (m_key == "id") {
            need(v.is_number_unsigned() && v.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<token>::max()),
                 "an id");
            m_entry.id = v.get<token>();
        } else if (m_key == "content") {
            need(v.is_string() && !v.get_ref<const std::string&>().empty(), "a text");
            m_entry.text = v.get<std::string>();
        } else {
            const auto flag = m_key == "special"       ? &added_token::special
                              : m_key == "normalized"  ? &added_token::normalized
                              : m_key == "single_word" ? &added_token::single_word
                              : m_key == "lstrip"      ? &added_token::lstrip
                              : m_key == "rstrip"      ? &added_token::rstrip
                                                       : nullptr;
            if (flag == nullptr) refuse({in_quotes(where()), " is unknown"});
            need(v.is_boolean(), "true or false");
            m_entry.*flag = v.get<bool>();
        }
    }

    void finish_entry() {
        for (const char* name : {"id", "content", "special", "normalized", "single_word", "lstrip", "rstrip"})
            if (!m_entry_keys.contains(name)) fail({"added_tokens[", m_out.added.size(), "] has no ", in_quotes(name)});
        m_out.added.push_back(std::move(m_entry));
    }

    const std::string& m_file;
    tokenizer_json& m_out;
    bool m_added_only, m_added = false, m_vocabulary = false, m_merges = false, m_merges_early = false, m_again = false;
    std::vector<kind> m_open;
    std::vector<std::string> m_names; // keys of the open containers, except the outermost
    std::string m_key, m_joined;
    std::map<std::string, json, std::less<>> m_settings;
    std::vector<entry> m_entries;
    std::array<std::string, 2> m_pair;
    std::size_t m_pair_size = 0;
    added_token m_entry;
    std::map<std::string, int, std::less<>> m_entry_keys;
};

}}} // namespace pali::PALI_ABI::text
