// The tables of a tokenizer, and how they are read from tokenizer.model, tokenizer.json and added_tokens.json. Implementation header.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/require_path.ipp>
#include <pali/text/added_tokens.ipp>
#include <pali/text/byte_pair_merges.ipp>
#include <pali/text/sentencepiece_encoder.ipp>
#include <pali/text/sentencepiece_model.ipp>
#include <pali/text/tokenizer.hpp>
#include <pali/text/tokenizer_files.ipp>
#include <pali/text/tokenizer_json.ipp>
#include <pali/text/vocabulary.ipp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>

namespace pali { inline namespace PALI_ABI {

struct tokenizer::parts {
    std::string file;                 // for messages
    std::string bytes;                // contents of tokenizer.model
    std::vector<char> texts;          // pieces of tokenizer.json
    std::array<std::string, 3> names; // texts of BOS, EOS and padding, if other files name them
    text::sentencepiece_model model;  // views of the above; for a tokenizer.json, only the pieces
    std::optional<text::merge_table> merges;
    std::map<std::string, text::added_token, std::less<>> added; // by text
    std::string added_file;                                      // the last file that added tokens
    std::map<token, const text::added_token*> outside;           // the part of `added` whose ids are not in the model
    text::added_token_finder raw, normalized;                    // finders of `added`, applied before and after spaces become U+2581
    std::optional<text::piece_merger> merger;
    std::optional<text::sentencepiece_encoder> sentencepiece;
    token bos = 0, eos = 0, newline = 0;
    std::optional<token> pad, image;
    std::array<token, 1024> loc{};
    std::array<token, 128> seg{};

    [[nodiscard]] bool in_model(token id) const noexcept { return id >= 0 && static_cast<std::size_t>(id) < model.pieces.size(); }
    /// The piece of an id that is in the model.
    [[nodiscard]] const text::model_piece& at(token id) const noexcept { return model.pieces[static_cast<std::size_t>(id)]; }
    [[nodiscard]] std::optional<token> find(std::string_view text) const noexcept {
        const auto found = model.find(text);
        return found ? std::optional(static_cast<token>(*found)) : std::nullopt;
    }
    /// Looks up a piece of the model or an added token.
    [[nodiscard]] std::optional<token> find_any(std::string_view text) const {
        if (const auto known = find(text)) return known;
        const auto found = added.find(text);
        return found == added.end() ? std::nullopt : std::optional(found->second.id);
    }
    void read_model(const std::filesystem::path& path);
    void read_json(const std::filesystem::path& path);
    void add(const std::string& from, std::vector<text::added_token> tokens);
    void reserve(std::optional<token> image_id);
    void find_ids();
    void find_places();
    void build_finders();
    [[nodiscard]] bool is_reserved(const text::added_token& one) const;
};

namespace text {

/// "<loc0007>": a name and digits. Uses append(), because g++ 12 warns about operator+ at -O3 (GCC bug 105651).
[[nodiscard]] PALI_INLINE std::string numbered_piece(const char* name, int digits, std::size_t i) {
    const std::string number = std::to_string(i);
    return std::string("<").append(name).append(static_cast<std::size_t>(digits) - number.size(), '0').append(number).append(">");
}

/// The index of an id in a table, or std::nullopt. In every known vocabulary, the table is one consecutive range of ids.
[[nodiscard]] PALI_INLINE std::optional<std::size_t> place_of(token id, std::span<const token> table) noexcept {
    if (id < 0) return std::nullopt;
    const auto guess = static_cast<std::size_t>(static_cast<std::int64_t>(id) - table[0]);
    if (table[0] >= 0 && guess < table.size() && table[guess] == id) return guess;
    const auto found = std::find(table.begin(), table.end(), id);
    return found == table.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - table.begin()));
}

/// Replaces each space by U+2581.
[[nodiscard]] PALI_INLINE std::string with_visible_spaces(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) c == ' ' ? out += "\xE2\x96\x81" : out += c;
    return out;
}

} // namespace text

PALI_INLINE void tokenizer::parts::read_model(const std::filesystem::path& path) {
    file = path.string();
    core::require_path(path, "file",
                       "; a checkpoint needs its model's vocabulary: sentencepiece's tokenizer.model or transformers' tokenizer.json");
    bytes = text::read_whole_file(path);
    model = text::read_sentencepiece_model(bytes, file);
    for (std::size_t i = 0; i < model.pieces.size(); ++i) { // transformers treats control and user-defined pieces as added tokens
        const text::model_piece& piece = model.pieces[i];
        if (piece.type == text::piece_type::control || piece.type == text::piece_type::user_defined)
            added.emplace(piece.text, text::added_token{.text = std::string(piece.text),
                                                        .id = static_cast<token>(i),
                                                        .special = piece.type == text::piece_type::control});
    }
}

PALI_INLINE void tokenizer::parts::read_json(const std::filesystem::path& path) {
    file = path.string();
    text::tokenizer_json read = text::read_tokenizer_json(path, false);
    texts = std::move(read.texts);
    static_cast<text::vocabulary&>(model) = std::move(read.words);
    merges.emplace(read.merges);
    token next = static_cast<token>(model.pieces.size());
    for (const text::added_token& one : read.added)
        if (one.id >= next && one.id != next++)
            throw error(errc::malformed_tokenizer, {file, ": assigns the added token ", core::in_quotes(one.text), " the id ", one.id,
                                                    "; the next id without a gap, which transformers would assign, is ", next - 1});
    add(file, std::move(read.added));
    names = text::read_special_names(path.parent_path());
    model.bos = names[0], model.eos = names[1], model.pad = names[2];
}

/// Adds the tokens of a file. A token that the model or another file also has must have the same id there; the flags of the last file win.
PALI_INLINE void tokenizer::parts::add(const std::string& from, std::vector<text::added_token> tokens) {
    const auto fail = [&](core::error_text&& what) {
        throw error(errc::malformed_tokenizer, {from, ": ", std::move(what).str(), "; do the files belong to the same checkpoint?"});
    };
    std::set<std::string, std::less<>> seen;
    for (text::added_token& one : tokens) {
        if (!seen.insert(one.text).second) fail({"has the token ", core::in_quotes(one.text), " twice"});
        const std::optional<token> known = find(one.text);
        if (known && *known != one.id)
            fail({"assigns ", core::in_quotes(one.text), " the id ", one.id, "; in ", file, " its id is ", *known});
        if (!known && in_model(one.id))
            fail({"assigns ", core::in_quotes(one.text), " the id ", one.id, "; in ", file, " that id is ",
                  core::in_quotes(at(one.id).text)});
        const auto [place, fresh] = added.try_emplace(one.text, one);
        if (place->second.id != one.id)
            fail({"assigns ", core::in_quotes(one.text), " the id ", one.id, "; in ", added_file, " its id is ", place->second.id});
        if (!known)
            if (const auto [same, first] = outside.emplace(one.id, &place->second); same->second != &place->second)
                fail({"assigns ", core::in_quotes(one.text), " the id ", one.id, ", which ", core::in_quotes(same->second->text), " has",
                      seen.contains(same->second->text) ? " as well" : " in " + added_file});
        place->second = std::move(one);
    }
    added_file = from;
}

/// Determines the reserved tokens, to which no text is encoded.
PALI_INLINE void tokenizer::parts::reserve(std::optional<token> image_id) {
    image = find_any("<image>");
    if (!image && image_id) {
        image = image_id;
        if (in_model(*image_id)) {
            added.erase(std::string(at(*image_id).text));
            model.rename(static_cast<std::size_t>(*image_id), {"<image>", 0, text::piece_type::control});
        } else {
            if (const auto other = outside.find(*image_id);
                other != outside.end()) { // config.json takes precedence over an added token, as it does over a piece of the model
                added.erase(added.find(other->second->text));
                outside.erase(other);
            }
            const auto place = added.emplace("<image>", text::added_token{.text = "<image>", .id = *image_id, .special = true}).first;
            outside.emplace(*image_id, &place->second);
        }
    }
    for (const std::string_view text : {model.bos, model.eos, model.pad, std::string_view("<image>")})
        if (const auto found = model.find(text)) model.pieces[*found].type = text::piece_type::control;
}

PALI_INLINE void tokenizer::parts::find_ids() {
    const auto either = [&](std::string_view name, std::string_view usual) { return find_any(name) ? find_any(name) : find_any(usual); };
    const auto need = [&](std::string_view name, std::string_view usual) {
        if (const auto id = either(name, usual)) return *id;
        throw error(errc::missing_token, {file, ": has no piece ", core::in_quotes(usual),
                                          ", which every prompt needs; does the tokenizer belong to a PaliGemma checkpoint?"});
    };
    bos = need(model.bos, "<bos>");
    eos = need(model.eos, "<eos>");
    pad = either(model.pad, "<pad>");
    const auto is_said = [&](std::optional<token> id) {
        return id && (at(*id).type == text::piece_type::normal || at(*id).type == text::piece_type::user_defined ||
                      at(*id).type == text::piece_type::byte);
    };
    const std::optional<token> line = find("\n"), byte = find("<0x0A>"); // a newline without a piece is encoded as a byte piece
    if (!is_said(line) && !is_said(byte))
        throw error(errc::missing_token,
                    {file, ": has no piece for a newline, which ends every prompt; does the tokenizer belong to a PaliGemma checkpoint?"});
    newline = is_said(line) ? *line : *byte;
}

PALI_INLINE void tokenizer::parts::find_places() {
    const auto fill = [&](auto& table, const char* name, int digits) {
        for (std::size_t i = 0; i < table.size(); ++i) table[i] = find_any(text::numbered_piece(name, digits, i)).value_or(-1);
    };
    fill(loc, "loc", 4);
    fill(seg, "seg", 3);
}

PALI_INLINE bool tokenizer::parts::is_reserved(const text::added_token& one) const {
    if (one.id == bos || one.id == eos || one.id == pad || one.id == image) return true;
    return in_model(one.id) && (at(one.id).type == text::piece_type::unknown || at(one.id).type == text::piece_type::byte);
}

PALI_INLINE void tokenizer::parts::build_finders() {
    for (const auto& [text, one] : added) {
        if (is_reserved(one)) continue;
        if (one.normalized) normalized.add(text::with_visible_spaces(text), one);
        else raw.add(text, one);
        const bool object = text::place_of(one.id, loc) || text::place_of(one.id, seg); // parsed from answers, so never hidden
        if (in_model(one.id))
            model.pieces[static_cast<std::size_t>(one.id)].type =
                one.special && !object ? text::piece_type::control : text::piece_type::user_defined;
    }
    std::optional<token> unknown;
    for (std::size_t i = 0; i < model.pieces.size() && !unknown; ++i)
        if (model.pieces[i].type == text::piece_type::unknown) unknown = static_cast<token>(i);
    merger.emplace(model, merges ? &*merges : nullptr, unknown.value_or(0));
    if (!merges) sentencepiece.emplace(model, file);
}

}} // namespace pali::PALI_ABI
