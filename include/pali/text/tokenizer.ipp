// Implementation of tokenizer.hpp.
#pragma once

#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>
#include <pali/text/tokenizer_parts.ipp>

#include <algorithm>
#include <string>
#include <system_error>

namespace pali { inline namespace PALI_ABI {

PALI_INLINE tokenizer::tokenizer(const std::filesystem::path& path, std::optional<token> image) : m_parts(std::make_unique<parts>()) {
    namespace fs = std::filesystem;
    parts& p = *m_parts;
    if (image && *image < 0) throw error(errc::invalid_argument, {"the id of <image> is ", *image, "; 0 or more is needed"});
    std::error_code failure;
    const bool folder = fs::is_directory(path, failure);
    const fs::path model = path / "tokenizer.model", json = path / "tokenizer.json", more = path / "added_tokens.json";
    if (folder && !fs::exists(model, failure) && fs::exists(json, failure)) {
        p.read_json(json);
    } else if (!folder && path.extension() == ".json") {
        p.read_json(path);
    } else {
        p.read_model(folder ? model : path);
        if (folder && fs::exists(json, failure)) p.add(json.string(), text::read_tokenizer_json(json, true).added);
    }
    if (folder && fs::exists(more, failure)) p.add(more.string(), text::read_added_tokens(text::read_whole_file(more), more.string()));
    p.reserve(image);
    p.find_ids();
    p.find_places();
    p.build_finders();
}

PALI_INLINE tokenizer::~tokenizer() = default;
PALI_INLINE tokenizer::tokenizer(tokenizer&&) noexcept = default;
PALI_INLINE tokenizer& tokenizer::operator=(tokenizer&&) noexcept = default;

PALI_INLINE std::vector<token> tokenizer::encode(std::string_view text) const {
    const parts& p = *m_parts;
    constexpr std::size_t most = (std::size_t{1} << 31) - 1; // piece_merger has 32-bit ids, and U+2581 takes three bytes
    if (text.size() > most / 3)
        throw error(errc::invalid_prompt, {"a text of ", text.size(), " bytes cannot be encoded; at most ", most / 3, " are supported"});
    std::string valid;
    if (!core::is_utf8(text)) {
        core::append_characters(valid, text, true);
        text = valid;
    }
    std::vector<token> out;
    const auto take = [&](token id) { out.push_back(id); };
    p.raw.split(
        text,
        [&](std::string_view part) {
            p.normalized.split(
                text::with_visible_spaces(part),
                [&](std::string_view rest) {
                    if (!p.sentencepiece || !p.sentencepiece->encode(rest, out)) p.merger->encode(rest, out);
                },
                take);
        },
        take);
    return out;
}

PALI_INLINE std::string tokenizer::decode(std::span<const token> ids) const {
    std::string out, run; // run: consecutive byte pieces
    const auto flush = [&] { core::append_characters(out, run, true), run.clear(); };
    for (const token id : ids) {
        const piece_kind what = kind(id);
        if (what == piece_kind::byte) {
            run += static_cast<char>(byte(id));
            continue;
        }
        flush();
        if (what == piece_kind::text) text::append_piece(out, piece(id));
        else if (what == piece_kind::unknown) out += unknown_text();
    }
    flush();
    return out;
}

PALI_INLINE std::string_view tokenizer::piece(token id) const noexcept {
    if (m_parts->in_model(id)) return m_parts->at(id).text;
    const auto found = m_parts->outside.find(id);
    return found == m_parts->outside.end() ? std::string_view() : std::string_view(found->second->text);
}

PALI_INLINE piece_kind tokenizer::kind(token id) const noexcept {
    const parts& p = *m_parts;
    if (id == p.image) return piece_kind::hidden;
    if (!p.in_model(id)) {
        const auto found = p.outside.find(id);
        return found != p.outside.end() && (!found->second->special || loc_number(id) || seg_number(id)) ? piece_kind::text
                                                                                                         : piece_kind::hidden;
    }
    switch (p.at(id).type) {
    case text::piece_type::byte:
        return piece_kind::byte;
    case text::piece_type::control:
        return piece_kind::hidden;
    case text::piece_type::unknown:
        return piece_kind::unknown;
    default:
        return piece_kind::text;
    }
}

PALI_INLINE unsigned char tokenizer::byte(token id) const noexcept {
    return m_parts->in_model(id) && m_parts->at(id).type == text::piece_type::byte
               ? static_cast<unsigned char>(text::byte_of_piece(m_parts->at(id).text))
               : static_cast<unsigned char>(0);
}

PALI_INLINE std::string_view tokenizer::unknown_text() const noexcept { return m_parts->model.unk_surface; }

PALI_INLINE std::optional<token> tokenizer::id(std::string_view piece) const { return m_parts->find_any(piece); }

PALI_INLINE std::optional<token> tokenizer::next_id(token first) const noexcept {
    first = std::max(first, token{0});
    if (m_parts->in_model(first)) return first;
    const auto found = m_parts->outside.lower_bound(first);
    return found == m_parts->outside.end() ? std::nullopt : std::optional(found->first);
}

PALI_INLINE std::size_t tokenizer::size() const noexcept {
    const std::size_t after_last = m_parts->outside.empty() ? 0 : static_cast<std::size_t>(m_parts->outside.rbegin()->first) + 1;
    return std::max(m_parts->model.pieces.size(), after_last);
}

PALI_INLINE token tokenizer::bos() const noexcept { return m_parts->bos; }
PALI_INLINE token tokenizer::eos() const noexcept { return m_parts->eos; }
PALI_INLINE token tokenizer::newline() const noexcept { return m_parts->newline; }

PALI_INLINE token tokenizer::pad() const {
    if (m_parts->pad) return *m_parts->pad;
    throw error(errc::missing_token, {m_parts->file, ": has no piece '<pad>', which padding a batch needs"});
}

PALI_INLINE token tokenizer::image() const {
    if (m_parts->image) return *m_parts->image;
    throw error(errc::missing_token,
                {m_parts->file, ": has no piece '<image>', and neither added_tokens.json nor config.json (image_token_index) defines one; "
                                "does the tokenizer belong to a PaliGemma checkpoint?"});
}

PALI_INLINE std::optional<token> tokenizer::loc(std::size_t i) const noexcept {
    return i < m_parts->loc.size() && m_parts->loc[i] >= 0 ? std::optional(m_parts->loc[i]) : std::nullopt;
}

PALI_INLINE std::optional<token> tokenizer::seg(std::size_t i) const noexcept {
    return i < m_parts->seg.size() && m_parts->seg[i] >= 0 ? std::optional(m_parts->seg[i]) : std::nullopt;
}

PALI_INLINE std::optional<std::size_t> tokenizer::loc_number(token id) const noexcept { return text::place_of(id, m_parts->loc); }
PALI_INLINE std::optional<std::size_t> tokenizer::seg_number(token id) const noexcept { return text::place_of(id, m_parts->seg); }

}} // namespace pali::PALI_ABI
