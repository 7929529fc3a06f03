// Tokenizer: text to tokens and back, from tokenizer.model or tokenizer.json plus added tokens.
#pragma once

#include <pali/text/token.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// How an id is decoded.
enum class piece_kind : std::uint8_t {
    text,    ///< decoded to its own text, with a space for U+2581
    byte,    ///< decoded to one byte of a character that has no piece of its own
    unknown, ///< decoded to a marker for text that cannot be encoded
    hidden,  ///< omitted: control pieces and special tokens, `<image>`, ids without a piece
};

/// The vocabulary of a checkpoint. Produces the ids of transformers' GemmaTokenizer for every text without reserved tokens.
///
/// "<bos>", "<eos>", "<pad>", "<unk>" and "<image>" are reserved: in a text they are encoded as ordinary characters, as in sentencepiece
/// and the original code. So no prompt can contain an image token or an end-of-sequence token. transformers would encode them as special
/// tokens. GemmaTokenizer adds `<mask>` to a tokenizer.model that lacks it; this class does not. `<loc0000>` ... and `<seg000>` ... are one
/// token each, as is every other added token, special or not, wherever its flags (`single_word`, `lstrip`, `rstrip`, `normalized`) allow a
/// match.
///
/// Const members are thread-safe. Prints nothing.
class tokenizer {
public:
    /// Opens a folder or a single vocabulary file. A folder has `tokenizer.model`, or `tokenizer.json` as saved by transformers. Added
    /// tokens come from `added_tokens.json` and tokenizer.json. If there is a tokenizer.model, only the added tokens of tokenizer.json are
    /// read. Without a tokenizer.model, tokenizer_config.json and special_tokens_map.json may name BOS, EOS and padding. `image` is the id
    /// of `<image>` (image_token_index in config.json). It is used if no vocabulary file names `<image>`, and replaces any piece or added
    /// token that has this id.
    ///
    /// Throws errc::cannot_open; errc::malformed_tokenizer if a file violates its format or contradicts another file;
    /// errc::unsupported_format if the vocabulary is not of Gemma's kind; errc::invalid_argument if `image` is negative;
    /// errc::missing_token if BOS, EOS or the newline piece is missing. Cost for Gemma's vocabulary: tokenizer.model takes 0.05 s, and the
    /// first encode() up to 0.1 s more while it waits for a background thread started here; tokenizer.json takes 0.5 s.
    explicit tokenizer(const std::filesystem::path& path, std::optional<token> image = std::nullopt);
    ~tokenizer();
    /// A moved-from tokenizer can only be destroyed or assigned to.
    tokenizer(tokenizer&&) noexcept;
    /// A moved-from tokenizer can only be destroyed or assigned to.
    tokenizer& operator=(tokenizer&&) noexcept;

    /// Encodes a text, without BOS or EOS; O(n log n). Invalid UTF-8 is read as U+FFFD. Throws errc::invalid_prompt for a text over 715 MB
    /// (2^31 / 3 bytes) or one that sentencepiece rejects; errc::malformed_tokenizer if sentencepiece rejects the vocabulary.
    [[nodiscard]] std::vector<token> encode(std::string_view text) const;

    /// Decodes tokens: keeps leading spaces, omits hidden ids (special tokens), and replaces byte pieces that form no character by U+FFFD.
    [[nodiscard]] std::string decode(std::span<const token> ids) const;

    /// The piece as written in the vocabulary (U+2581 for a space, <0x41> for a byte); empty if the id has none.
    [[nodiscard]] std::string_view piece(token id) const noexcept;

    /// How an id is decoded.
    [[nodiscard]] piece_kind kind(token id) const noexcept;

    /// The byte of a byte piece; 0 for other ids.
    [[nodiscard]] unsigned char byte(token id) const noexcept;

    /// Text that an unknown piece decodes to: " \u2047 " in Gemma's vocabulary.
    [[nodiscard]] std::string_view unknown_text() const noexcept;

    /// The id of a piece, written as piece() returns it; std::nullopt if there is no such piece.
    [[nodiscard]] std::optional<token> id(std::string_view piece) const;

    /// The smallest id >= `first` that has a piece; std::nullopt if there is none.
    [[nodiscard]] std::optional<token> next_id(token first) const noexcept;

    /// One past the largest id that has a piece. The embedding table of a model may have more rows.
    [[nodiscard]] std::size_t size() const noexcept;

    [[nodiscard]] token bos() const noexcept;     ///< starts the prompt
    [[nodiscard]] token eos() const noexcept;     ///< ends the answer
    [[nodiscard]] token newline() const noexcept; ///< ends the prompt

    /// The padding token. Throws errc::missing_token if the vocabulary has none. pali itself does not need it.
    [[nodiscard]] token pad() const;

    /// The placeholder for one image patch. Throws errc::missing_token if the vocabulary has none.
    [[nodiscard]] token image() const;

    /// The id of `<loc0000>` ... `<loc1023>`; std::nullopt if the vocabulary lacks the piece.
    [[nodiscard]] std::optional<token> loc(std::size_t i) const noexcept;
    /// The id of `<seg000>` ... `<seg127>`; std::nullopt if the vocabulary lacks the piece.
    [[nodiscard]] std::optional<token> seg(std::size_t i) const noexcept;
    /// The number in a `<loc....>` piece; std::nullopt for other ids.
    [[nodiscard]] std::optional<std::size_t> loc_number(token id) const noexcept;
    /// The number in a `<seg...>` piece; std::nullopt for other ids.
    [[nodiscard]] std::optional<std::size_t> seg_number(token id) const noexcept;

private:
    struct parts; // keeps sentencepiece and JSON out of this header
    std::unique_ptr<parts> m_parts;
};

namespace text {

/// Appends a text piece as decoded: U+2581 becomes a space.
inline void append_piece(std::string& out, std::string_view piece) {
    constexpr std::string_view space = "\xE2\x96\x81";
    for (std::size_t at; (at = piece.find(space)) != std::string_view::npos; piece.remove_prefix(at + space.size())) {
        out += piece.substr(0, at);
        out += ' ';
    }
    out += piece;
}

} // namespace text

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/text/tokenizer.ipp>
#endif
