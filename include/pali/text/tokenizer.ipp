// Body of tokenizer.hpp: sentencepiece behind checks of its own.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/require_path.ipp>
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
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace pali::inline PALI_ABI {

struct tokenizer::parts {
    std::string file;                    // for messages
    std::string bytes;                   // of the file
    detail::sentencepiece_model model;   // views of them
    detail::token_map added;             // text -> id, on top of the model or a normal piece of it that is to be atomic
    std::map<token, std::string> texts;  // id -> text, of ids outside the model
    std::vector<std::size_t> lengths;    // of texts to cut out of what is encoded, longest first
    std::bitset<256> beginnings;         // first bytes of those
    token bos = 0, eos = 0, pad = 0, newline = 0;
    std::optional<token> image;
    std::array<token, 1024> loc{};
    std::array<token, 128> seg{};

    [[nodiscard]] bool in_model(token id) const noexcept { return id >= 0 && static_cast<std::size_t>(id) < model.pieces.size(); }
    /// A piece of the model, for ids in it.
    [[nodiscard]] const detail::model_piece& at(token id) const noexcept { return model.pieces[static_cast<std::size_t>(id)]; }
    [[nodiscard]] std::optional<token> find(std::string_view text) const noexcept {
        const auto found = model.find(text);
        return found ? std::optional(static_cast<token>(*found)) : std::nullopt;
    }
    void add(const std::filesystem::path& json, const detail::token_map& tokens);
    void find_ids();
    void find_places();
    void encode(std::string_view text, std::vector<token>& out) const;

    /// sentencepiece takes a quarter of a second for Gemma's vocabulary, on a thread of its own: no text is read before a picture was seen.
    void start() {
        m_loading = std::jthread([this] {
            try {
                if (const auto status = m_processor.LoadFromSerializedProto(detail::write_sentencepiece_model(model)); !status.ok()) m_refusal = status.ToString();
            } catch (const std::bad_alloc&) {
                m_out_of_memory = true;
            } catch (const std::exception& e) { // what its search tree throws is among it
                m_refusal = e.what();
            }
        });
    }
    /// Waits for it. Throws errc::malformed_tokenizer, and std::bad_alloc.
    [[nodiscard]] const sentencepiece::SentencePieceProcessor& processor() const {
        std::call_once(m_waited, [this] { m_loading.join(); });
        if (m_out_of_memory) throw std::bad_alloc();
        if (!m_refusal.empty()) throw error(errc::malformed_tokenizer, {file, ": sentencepiece refuses it: ", m_refusal});
        return m_processor;
    }

private:
    sentencepiece::SentencePieceProcessor m_processor;
    mutable std::once_flag m_waited;
    std::string m_refusal;
    bool m_out_of_memory = false;
    mutable std::jthread m_loading; // the last member: ends before what it works on
};

namespace detail {

[[nodiscard]] PALI_INLINE std::string read_whole_file(const std::filesystem::path& path) {
    constexpr std::uintmax_t largest = 256u << 20; // Gemma's model has 4 MB
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (failure) throw error(errc::cannot_open, {path.string(), ": cannot be read: ", failure.message()});
    if (size > largest)
        throw error(errc::malformed_tokenizer, {path.string(), ": has ", size, " bytes; at most ", largest, " are read"});
    std::ifstream in(path, std::ios::binary);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (!in || !in.read(bytes.data(), static_cast<std::streamsize>(size))) throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return bytes;
}

/// "<loc0007>": a name, then digits.
[[nodiscard]] PALI_INLINE std::string numbered_piece(const char* name, int digits, std::size_t i) {
    const std::string number = std::to_string(i);
    return std::string("<").append(name).append(static_cast<std::size_t>(digits) - number.size(), '0').append(number).append(">"); // g++ 12 warns of + at -O3: GCC bug 105651
}

} // namespace detail

PALI_INLINE tokenizer::tokenizer(const std::filesystem::path& path, std::optional<token> image) : m_parts(std::make_unique<parts>()) {
    namespace fs = std::filesystem;
    parts& p = *m_parts;
    std::error_code failure;
    const bool folder = fs::is_directory(path, failure);
    const fs::path file = folder ? path / "tokenizer.model" : path;
    p.file = file.string();
    detail::require_path(file, "file", folder ? "; a checkpoint needs the sentencepiece model of its vocabulary, and tokenizer.json cannot take its place" : "");
    if (image && *image < 0) throw error(errc::invalid_argument, {"the id of <image> is ", *image, "; 0 or more is needed"});

    p.bytes = detail::read_whole_file(file);
    p.model = detail::read_sentencepiece_model(p.bytes, p.file);
    // No text may become one of these.
    for (const std::string_view text : {p.model.bos, p.model.eos, p.model.pad, std::string_view("<image>")})
        if (const auto found = p.model.find(text)) p.model.pieces[*found].type = detail::piece_type::control;
    p.image = p.find("<image>");
    const fs::path json = path / "added_tokens.json";
    detail::token_map added;
    if (folder && fs::exists(json, failure)) added = detail::read_added_tokens(detail::read_whole_file(json), json.string());
    if (const auto found = added.find("<image>"); found != added.end()) p.image = found->second;
    if (!p.image && image) {
        p.image = image;
        if (p.in_model(*image)) p.model.rename(static_cast<std::size_t>(*image), {"<image>", 0, detail::piece_type::control});
        else added.emplace("<image>", *image);
    }
    p.add(json, added);
    p.find_ids();
    p.find_places();
    p.start();
}

PALI_INLINE tokenizer::~tokenizer() = default;
PALI_INLINE tokenizer::tokenizer(tokenizer&&) noexcept = default;
PALI_INLINE tokenizer& tokenizer::operator=(tokenizer&&) noexcept = default;

/// Takes over the tokens of added_tokens.json; those that the model has must have the same id there.
PALI_INLINE void tokenizer::parts::add(const std::filesystem::path& json, const detail::token_map& tokens) {
    const auto fail = [&](const error_text& what) {
        throw error(errc::malformed_tokenizer, {json.string(), ": ", what, "; are the two files of one checkpoint?"});
    };
    for (const auto& [text, id] : tokens) {
        const std::optional<token> known = find(text);
        if (known && *known != id) fail({"gives ", in_quotes(text), " the id ", id, "; ", file, " has it as ", *known});
        if (!known && in_model(id)) fail({"gives ", in_quotes(text), " the id ", id, "; in ", file, " that is ", in_quotes(at(id).text)});
        if (known && (at(id).type == detail::piece_type::control || at(id).type == detail::piece_type::unknown || at(id).type == detail::piece_type::byte)) continue;
        if (!known) texts.emplace(id, text);
        added.emplace(text, id);
        if (image == id) continue; // known, and never read from a text
        beginnings.set(static_cast<unsigned char>(text.front()));
        lengths.push_back(text.size());
    }
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
}

PALI_INLINE void tokenizer::parts::find_ids() {
    const auto need = [&](std::string_view name, std::string_view usual) {
        for (const std::string_view piece : {name, usual})
            if (const auto id = find(piece)) return *id;
        throw error(errc::missing_token, {file, ": has no piece ", in_quotes(usual),
                                          ", which every prompt needs; is it the tokenizer of a PaliGemma checkpoint?"});
    };
    bos = need(model.bos, "<bos>");
    eos = need(model.eos, "<eos>");
    pad = need(model.pad, "<pad>");
    const auto is_said = [&](std::optional<token> id) {
        return id && (at(*id).type == detail::piece_type::normal || at(*id).type == detail::piece_type::user_defined || at(*id).type == detail::piece_type::byte);
    };
    const std::optional<token> line = find("\n"), byte = find("<0x0A>"); // what has no piece is said by its bytes
    if (!is_said(line) && !is_said(byte))
        throw error(errc::missing_token, {file, ": has no piece for a newline, with which every prompt ends; is it the tokenizer of a PaliGemma checkpoint?"});
    newline = is_said(line) ? *line : *byte;
}

PALI_INLINE void tokenizer::parts::find_places() {
    const auto fill = [&](auto& table, const char* name, int digits) {
        for (std::size_t i = 0; i < table.size(); ++i) {
            const std::string piece = detail::numbered_piece(name, digits, i);
            const auto extra = added.find(piece);
            table[i] = find(piece).value_or(extra != added.end() ? extra->second : -1);
        }
    };
    fill(loc, "loc", 4);
    fill(seg, "seg", 3);
}

/// Text without added tokens.
PALI_INLINE void tokenizer::parts::encode(std::string_view text, std::vector<token>& out) const {
    if (text.empty()) return;
    std::vector<int> ids;
    if (const auto status = processor().Encode(text, &ids); !status.ok())
        throw error(errc::invalid_prompt, {"a text of ", text.size(), " bytes cannot be encoded: ", status.ToString()});
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
        if (const auto status = p.processor().Decode(run, &part); !status.ok())
            throw error(errc::invalid_argument, {"tokens cannot be decoded: ", status.ToString()});
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
    if (m_parts->in_model(id)) return m_parts->at(id).text;
    const auto found = m_parts->texts.find(id);
    return found == m_parts->texts.end() ? std::string_view() : std::string_view(found->second);
}

PALI_INLINE piece_kind tokenizer::kind(token id) const noexcept {
    const parts& p = *m_parts;
    if (id == p.image) return piece_kind::hidden;
    if (!p.in_model(id)) return p.texts.contains(id) ? piece_kind::text : piece_kind::hidden;
    switch (p.at(id).type) {
    case detail::piece_type::byte: return piece_kind::byte;
    case detail::piece_type::control: return piece_kind::hidden;
    case detail::piece_type::unknown: return piece_kind::unknown;
    default: return piece_kind::text;
    }
}

PALI_INLINE unsigned char tokenizer::byte(token id) const noexcept {
    return m_parts->in_model(id) && m_parts->at(id).type == detail::piece_type::byte ? static_cast<unsigned char>(detail::byte_of_piece(m_parts->at(id).text))
                                                                                     : static_cast<unsigned char>(0);
}

PALI_INLINE std::string_view tokenizer::unknown_text() const noexcept { return m_parts->model.unk_surface; }

PALI_INLINE std::optional<token> tokenizer::id(std::string_view piece) const {
    if (const auto known = m_parts->find(piece)) return known;
    const auto found = m_parts->added.find(piece);
    return found == m_parts->added.end() ? std::nullopt : std::optional(found->second);
}

PALI_INLINE std::size_t tokenizer::size() const noexcept {
    const std::size_t after_last = m_parts->texts.empty() ? 0 : static_cast<std::size_t>(m_parts->texts.rbegin()->first) + 1;
    return std::max(m_parts->model.pieces.size(), after_last);
}

PALI_INLINE token tokenizer::bos() const noexcept { return m_parts->bos; }
PALI_INLINE token tokenizer::eos() const noexcept { return m_parts->eos; }
PALI_INLINE token tokenizer::pad() const noexcept { return m_parts->pad; }
PALI_INLINE token tokenizer::newline() const noexcept { return m_parts->newline; }

PALI_INLINE token tokenizer::image() const {
    if (m_parts->image) return *m_parts->image;
    throw error(errc::missing_token, {m_parts->file, ": has no piece '<image>', and neither added_tokens.json nor config.json (image_token_index) names one; "
                                                     "is it the tokenizer of a PaliGemma checkpoint?"});
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
