// Body of tokenizer.hpp: sentencepiece behind checks of its own.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/text/added_tokens.ipp>
#include <pali/text/sentencepiece_model.ipp>
#include <pali/text/tokenizer.hpp>

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <system_error>

namespace pali::inline PALI_ABI {

struct tokenizer::parts {
    sentencepiece::SentencePieceProcessor model;
    std::string file;                    // for messages
    token model_size = 0;                // ids below it are the model's
    detail::token_map added;             // text -> id, on top of the model or a normal piece of it that is to be atomic
    std::map<token, std::string> texts;  // id -> text, of ids outside the model
    std::vector<std::size_t> lengths;    // of texts to cut out of what is encoded, longest first
    std::bitset<256> beginnings;         // first bytes of those
    std::string unknown;
    token bos = 0, eos = 0, pad = 0, newline = 0;
    std::optional<token> image;
    std::array<token, 1024> loc{};
    std::array<token, 128> seg{};

    [[nodiscard]] bool in_model(token id) const noexcept { return id >= 0 && id < model_size; }
    void add(const std::filesystem::path& json, const detail::token_map& tokens);
    void find_ids(const detail::sentencepiece_model& checked);
    void find_places();
    void encode(std::string_view text, std::vector<token>& out) const;
};

namespace detail {

[[nodiscard]] PALI_INLINE std::string read_whole_file(const std::filesystem::path& path) {
    constexpr std::uintmax_t largest = 256u << 20; // Gemma's model has 4 MB
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (failure) throw error(errc::cannot_open, path.string() + ": cannot be read: " + failure.message());
    if (size > largest)
        throw error(errc::malformed_tokenizer,
                    path.string() + ": has " + std::to_string(size) + " bytes; at most " + std::to_string(largest) + " are read");
    std::ifstream in(path, std::ios::binary);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (!in || !in.read(bytes.data(), static_cast<std::streamsize>(size))) throw error(errc::cannot_open, path.string() + ": cannot be read");
    return bytes;
}

/// "<loc0007>": a name, then digits.
[[nodiscard]] PALI_INLINE std::string numbered_piece(const char* name, int digits, std::size_t i) {
    const std::string number = std::to_string(i);
    return "<" + std::string(name) + std::string(static_cast<std::size_t>(digits) - number.size(), '0') + number + ">";
}

} // namespace detail

PALI_INLINE tokenizer::tokenizer(const std::filesystem::path& path, std::optional<token> image) : m_parts(std::make_unique<parts>()) {
    namespace fs = std::filesystem;
    parts& p = *m_parts;
    std::error_code failure;
    const bool folder = fs::is_directory(path, failure);
    const fs::path file = folder ? path / "tokenizer.model" : path;
    p.file = file.string();
    if (!fs::exists(file, failure))
        throw error(errc::cannot_open, p.file + ": there is no such file"
            + (folder ? "; a checkpoint needs the sentencepiece model of its vocabulary, and tokenizer.json cannot take its place" : ""));
    if (image && *image < 0) throw error(errc::invalid_argument, "the id of <image> is " + std::to_string(*image) + "; 0 or more is needed");

    const std::string bytes = detail::read_whole_file(file);
    detail::sentencepiece_model checked = detail::read_sentencepiece_model(bytes, p.file);
    p.model_size = static_cast<token>(checked.pieces.size());
    // No text may become one of these.
    for (std::size_t i = 0; i < checked.pieces.size(); ++i) {
        detail::model_piece& piece = checked.pieces[i];
        if (piece.text == checked.bos || piece.text == checked.eos || piece.text == checked.pad) piece.type = detail::piece_type::control;
        if (piece.text == "<image>") piece.type = detail::piece_type::control, p.image = static_cast<token>(i);
    }
    const fs::path json = path / "added_tokens.json";
    detail::token_map added;
    if (folder && fs::exists(json, failure)) added = detail::read_added_tokens(detail::read_whole_file(json), json.string());
    if (const auto found = added.find("<image>"); found != added.end()) p.image = found->second;
    if (!p.image && image) {
        p.image = image;
        if (p.in_model(*image)) checked.pieces[static_cast<std::size_t>(*image)] = {"<image>", 0, detail::piece_type::control};
        else added.emplace("<image>", *image);
    }

    try {
        const auto status = p.model.LoadFromSerializedProto(detail::write_sentencepiece_model(checked));
        if (!status.ok()) throw error(errc::malformed_tokenizer, p.file + ": sentencepiece refuses it: " + status.ToString());
    } catch (const error&) {
        throw;
    } catch (const std::exception& e) { // its search tree throws
        throw error(errc::malformed_tokenizer, p.file + ": sentencepiece refuses it: " + e.what());
    }
    p.add(json, added);
    p.find_ids(checked);
    p.find_places();
}

PALI_INLINE tokenizer::~tokenizer() = default;
PALI_INLINE tokenizer::tokenizer(tokenizer&&) noexcept = default;
PALI_INLINE tokenizer& tokenizer::operator=(tokenizer&&) noexcept = default;

/// Takes over the tokens of added_tokens.json; those that the model has must have the same id there.
PALI_INLINE void tokenizer::parts::add(const std::filesystem::path& json, const detail::token_map& tokens) {
    const auto fail = [&](const std::string& what) {
        throw error(errc::malformed_tokenizer, json.string() + ": " + what + "; are the two files of one checkpoint?");
    };
    for (const auto& [text, id] : tokens) {
        const token known = model.PieceToId(text);
        const bool in_vocabulary = model.IdToPiece(known) == text;
        if (in_vocabulary && known != id)
            fail("gives " + in_quotes(text) + " the id " + std::to_string(id) + "; " + file + " has it as " + std::to_string(known));
        if (!in_vocabulary && in_model(id))
            fail("gives " + in_quotes(text) + " the id " + std::to_string(id) + "; in " + file + " that is " +
                 in_quotes(model.IdToPiece(id)));
        if (in_vocabulary && (model.IsControl(id) || model.IsUnknown(id) || model.IsByte(id))) continue;
        if (!in_vocabulary) texts.emplace(id, text);
        added.emplace(text, id);
        if (image == id) continue; // known, and never read from a text
        beginnings.set(static_cast<unsigned char>(text.front()));
        lengths.push_back(text.size());
    }
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
}

PALI_INLINE void tokenizer::parts::find_ids(const detail::sentencepiece_model& checked) {
    const auto need = [&](std::string_view name, std::string_view usual) {
        for (const std::string_view piece : {name, usual})
            if (const token id = model.PieceToId(piece); model.IdToPiece(id) == piece) return id;
        throw error(errc::missing_token, file + ": has no piece " + in_quotes(usual) +
                                             ", which every prompt needs; is it the tokenizer of a PaliGemma checkpoint?");
    };
    bos = need(checked.bos, "<bos>");
    eos = need(checked.eos, "<eos>");
    pad = need(checked.pad, "<pad>");
    std::vector<token> line;
    encode("\n", line);
    if (line.size() != 1 || model.IsUnknown(line.front()))
        throw error(errc::missing_token,
                    file + ": has no piece for a newline, with which every prompt ends; is it the tokenizer of a PaliGemma checkpoint?");
    newline = line.front();
    unknown = checked.unk_surface;
}

PALI_INLINE void tokenizer::parts::find_places() {
    const auto fill = [&](auto& table, const char* name, int digits) {
        for (std::size_t i = 0; i < table.size(); ++i) {
            const std::string piece = detail::numbered_piece(name, digits, i);
            const token id = model.PieceToId(piece);
            const auto extra = added.find(piece);
            table[i] = model.IdToPiece(id) == piece ? id : extra != added.end() ? extra->second : -1;
        }
    };
    fill(loc, "loc", 4);
    fill(seg, "seg", 3);
}

/// Text without added tokens.
PALI_INLINE void tokenizer::parts::encode(std::string_view text, std::vector<token>& out) const {
    if (text.empty()) return;
    std::vector<int> ids;
    if (const auto status = model.Encode(text, &ids); !status.ok())
        throw error(errc::invalid_prompt, "a text of " + std::to_string(text.size()) + " bytes cannot be encoded: " + status.ToString());
    out.insert(out.end(), ids.begin(), ids.end());
}

PALI_INLINE std::vector<token> tokenizer::encode(std::string_view text) const {
    const parts& p = *m_parts;
    std::vector<token> out;
    std::size_t begin = 0; // of what is not yet encoded
    for (std::size_t at = 0; at < text.size();) {
        std::size_t length = 0;
        if (p.beginnings[static_cast<unsigned char>(text[at])])
            for (const std::size_t candidate : p.lengths) {
                if (candidate > text.size() - at) continue;
                const auto found = p.added.find(text.substr(at, candidate));
                if (found == p.added.end() || found->second == p.image) continue;
                p.encode(text.substr(begin, at - begin), out);
                out.push_back(found->second);
                length = candidate;
                break;
            }
        at += std::max<std::size_t>(length, 1);
        if (length > 0) begin = at;
    }
    p.encode(text.substr(begin), out);
    return out;
}

PALI_INLINE std::string tokenizer::decode(std::span<const token> ids) const {
    const parts& p = *m_parts;
    std::string out, part;
    std::vector<int> run; // ids of the model
    const auto flush = [&] {
        if (run.empty()) return;
        if (const auto status = p.model.Decode(run, &part); !status.ok())
            throw error(errc::invalid_argument, "tokens cannot be decoded: " + status.ToString());
        out += part;
        run.clear();
    };
    for (const token id : ids) {
        if (p.in_model(id)) {
            run.push_back(id);
        } else {
            flush();
            if (kind(id) == piece_kind::text) append_piece(out, piece(id));
        }
    }
    flush();
    return out;
}

PALI_INLINE std::string_view tokenizer::piece(token id) const noexcept {
    if (m_parts->in_model(id)) return m_parts->model.IdToPiece(id);
    const auto found = m_parts->texts.find(id);
    return found == m_parts->texts.end() ? std::string_view() : std::string_view(found->second);
}

PALI_INLINE piece_kind tokenizer::kind(token id) const noexcept {
    const parts& p = *m_parts;
    if (id == p.image) return piece_kind::hidden;
    if (!p.in_model(id)) return p.texts.contains(id) ? piece_kind::text : piece_kind::hidden;
    if (p.model.IsByte(id)) return piece_kind::byte;
    if (p.model.IsControl(id)) return piece_kind::hidden;
    return p.model.IsUnknown(id) ? piece_kind::unknown : piece_kind::text;
}

PALI_INLINE unsigned char tokenizer::byte(token id) const noexcept {
    return m_parts->in_model(id) && m_parts->model.IsByte(id)
               ? static_cast<unsigned char>(detail::byte_of_piece(m_parts->model.IdToPiece(id)))
               : static_cast<unsigned char>(0);
}

PALI_INLINE std::string_view tokenizer::unknown_text() const noexcept { return m_parts->unknown; }

PALI_INLINE std::optional<token> tokenizer::id(std::string_view piece) const {
    if (const token known = m_parts->model.PieceToId(piece); m_parts->model.IdToPiece(known) == piece) return known;
    const auto found = m_parts->added.find(piece);
    return found == m_parts->added.end() ? std::nullopt : std::optional(found->second);
}

PALI_INLINE std::size_t tokenizer::size() const noexcept {
    const token last = m_parts->texts.empty() ? -1 : m_parts->texts.rbegin()->first;
    return static_cast<std::size_t>(std::max(m_parts->model_size, last + 1));
}

PALI_INLINE token tokenizer::bos() const noexcept { return m_parts->bos; }
PALI_INLINE token tokenizer::eos() const noexcept { return m_parts->eos; }
PALI_INLINE token tokenizer::pad() const noexcept { return m_parts->pad; }
PALI_INLINE token tokenizer::newline() const noexcept { return m_parts->newline; }

PALI_INLINE token tokenizer::image() const {
    if (m_parts->image) return *m_parts->image;
    throw error(errc::missing_token,
                m_parts->file + ": has no piece '<image>', and neither added_tokens.json nor config.json (image_token_index) names one; "
                                "is it the tokenizer of a PaliGemma checkpoint?");
}

PALI_INLINE std::optional<token> tokenizer::loc(std::size_t i) const noexcept {
    return i < m_parts->loc.size() && m_parts->loc[i] >= 0 ? std::optional(m_parts->loc[i]) : std::nullopt;
}

PALI_INLINE std::optional<token> tokenizer::seg(std::size_t i) const noexcept {
    return i < m_parts->seg.size() && m_parts->seg[i] >= 0 ? std::optional(m_parts->seg[i]) : std::nullopt;
}

namespace detail {

/// The place of an id in a table that is, in every vocabulary seen, one run of ids.
[[nodiscard]] PALI_INLINE std::optional<std::size_t> place_of(token id, std::span<const token> table) noexcept {
    if (id < 0) return std::nullopt;
    const auto guess = static_cast<std::size_t>(static_cast<std::int64_t>(id) - table[0]);
    if (table[0] >= 0 && guess < table.size() && table[guess] == id) return guess;
    const auto found = std::find(table.begin(), table.end(), id);
    return found == table.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - table.begin()));
}

} // namespace detail

PALI_INLINE std::optional<std::size_t> tokenizer::loc_number(token id) const noexcept { return detail::place_of(id, m_parts->loc); }
PALI_INLINE std::optional<std::size_t> tokenizer::seg_number(token id) const noexcept { return detail::place_of(id, m_parts->seg); }

} // namespace pali::inline PALI_ABI
