// Added tokens, which are cut out of a text before it is encoded, and the parser of added_tokens.json, e.g. {"<image>": 257152}.
// Implementation header.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/core/utf8.hpp>
#include <pali/text/character_classes.hpp>
#include <pali/text/token.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// An added token and its matching rules; the flags are those of transformers' AddedToken.
struct added_token {
    std::string text;
    token id = 0;
    bool special = false;     ///< omitted from decoded text
    bool normalized = false;  ///< matched after spaces are replaced by U+2581
    bool single_word = false; ///< matched only between non-word characters
    bool lstrip = false;      ///< absorbs the white space before it
    bool rstrip = false;      ///< absorbs the white space after it
};

/// Parses the contents of added_tokens.json. Throws errc::malformed_tokenizer with `file` and the reason.
[[nodiscard]] PALI_INLINE std::vector<added_token> read_added_tokens(std::string_view contents, const std::string& file) {
    const auto fail = [&](error_text&& what) { throw error(errc::malformed_tokenizer, {file, ": ", std::move(what).str()}); };
    const nlohmann::json document = parse_strict_json(contents, fail);
    if (!document.is_object()) fail({"is ", describe_json(document), "; an object that maps each token to its id is needed"});
    std::vector<added_token> tokens;
    std::map<token, std::string_view> names;
    for (const auto& [text, id] : document.get_ref<const nlohmann::json::object_t&>()) {
        if (text.empty()) fail("has an entry with an empty token");
        if (!id.is_number_unsigned()) fail({"has ", describe_json(id), " at ", in_quotes(text), "; an id is needed"});
        if (id.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
            fail({"assigns ", in_quotes(text), " the id ", describe_json(id), ", which is too large"});
        tokens.push_back({.text = text, .id = id.get<token>()});
        if (const auto [same, first] = names.emplace(id.get<token>(), text); !first)
            fail({"assigns ", in_quotes(same->second), " and ", in_quotes(text), " the same id ", describe_json(id)});
    }
    return tokens;
}

/// Finds added tokens in a text: the leftmost, and of those the longest. It is a trie whose edges are stored in one hash table.
class added_token_finder {
public:
    /// Adds a token. `text` is the pattern: the token's text, possibly normalized. Of equal patterns, the last one wins; in transformers,
    /// the choice is random.
    void add(std::string_view text, const added_token& one) {
        std::uint32_t node = 0;
        for (const char c : text) {
            const auto [edge, fresh] = m_edges.emplace(key(node, c), static_cast<std::uint32_t>(m_tokens.size()));
            if (fresh) m_tokens.push_back(nothing);
            node = edge->second;
        }
        m_tokens[node] = static_cast<std::uint32_t>(m_added.size());
        m_added.push_back(one);
        m_begins[static_cast<unsigned char>(text.front())] = true;
    }

    /// Calls `on_text(part)` and `on_token(id)` for the parts of the text, in order. The text must be valid UTF-8.
    template <class On_text, class On_token>
    void split(std::string_view text, On_text&& on_text, On_token&& on_token) const {
        std::size_t begin = 0; // start of the text that has not been reported
        for (std::size_t at = 0; at < text.size();) {
            const auto [length, one] = longest_at(text.substr(at));
            if (length == 0) {
                ++at;
                continue;
            }
            std::size_t first = at, last = at + length;
            at = last;
            if (one->single_word && (ends_with_word(text.substr(0, first)) || begins_with_word(text.substr(last)))) continue;
            if (one->lstrip) first = std::max(begin, first - white_space_at_end(text.substr(0, first)));
            if (one->rstrip) last += white_space_at_begin(text.substr(last));
            if (begin < first) on_text(text.substr(begin, first - begin));
            if (first < last) on_token(one->id); // not called for a white-space token that an earlier token has absorbed
            begin = last;                        // `at` stays: tokens in the absorbed white space are found, as in transformers
        }
        if (begin < text.size()) on_text(text.substr(begin));
    }

private:
    static constexpr std::uint32_t nothing = 0xffffffff;
    struct match {
        std::size_t length = 0;
        const added_token* one = nullptr;
    };

    [[nodiscard]] static std::uint64_t key(std::uint32_t node, char c) noexcept {
        return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
    }

    [[nodiscard]] match longest_at(std::string_view text) const {
        match best;
        if (!m_begins[static_cast<unsigned char>(text.front())]) return best;
        std::uint32_t node = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto edge = m_edges.find(key(node, text[i]));
            if (edge == m_edges.end()) break;
            node = edge->second;
            if (m_tokens[node] != nothing) best = {i + 1, &m_added[m_tokens[node]]};
        }
        return best;
    }

    std::unordered_map<std::uint64_t, std::uint32_t> m_edges;
    std::vector<std::uint32_t> m_tokens = {nothing}; // per node, an index into m_added
    std::vector<added_token> m_added;
    std::vector<bool> m_begins = std::vector<bool>(256); // first bytes of all tokens
};

}}} // namespace pali::PALI_ABI::text
