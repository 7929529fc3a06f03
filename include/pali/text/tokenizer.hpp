// Text to tokens and back: a tokenizer.model or tokenizer.json, and the tokens that are added on top.
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

/// What an id contributes to a text.
enum class piece_kind : std::uint8_t {
    text,    ///< its own text, U+2581 standing for a space
    byte,    ///< one byte of a character that has no piece of its own
    unknown, ///< a sign that something could not be encoded
    hidden,  ///< nothing: control pieces and special tokens, `<image>`, ids that name no piece
};

/// The vocabulary of a checkpoint. Gives the ids that transformers' GemmaTokenizer gives, for every text that holds no reserved token.
///
/// "<bos>", "<eos>", "<pad>", "<unk>" and "<image>" are reserved: in a text they are split into letters and signs, as sentencepiece and the
/// original code do; transformers would make them special. So no prompt can forge an image or end itself. The `<mask>` that GemmaTokenizer
/// adds to a tokenizer.model without one is not added.
/// `<loc0000>` ... and `<seg000>` ... are one token each, as is every other added token, special or not, wherever it stands and its flags
/// (`single_word`, `lstrip`, `rstrip`, `normalized`) allow.
///
/// Const members may be called from many threads at once. Prints nothing.
class tokenizer {
public:
    /// Opens a folder or one file of it. A folder has `tokenizer.model`, or `tokenizer.json` as transformers saves it. Added tokens come
    /// from `added_tokens.json` and from tokenizer.json, also next to a tokenizer.model; of that tokenizer.json nothing else is read then.
    /// Without a tokenizer.model, tokenizer_config.json and special_tokens_map.json may name BOS, EOS and padding. `image` is the id of
    /// `<image>` (config.json's image_token_index), used when no file of the vocabulary names that piece; a piece or added token that has
    /// this id is not used then.
    ///
    /// Throws errc::cannot_open; errc::malformed_tokenizer for a file that contradicts its format or another file; errc::unsupported_format
    /// for a vocabulary that is not of Gemma's kind; errc::invalid_argument for an `image` below 0; errc::missing_token when it has no
    /// beginning or end piece, or none for a newline. For Gemma's vocabulary: tokenizer.model takes 0.05 s and the first encode() up to 0.1
    /// s more, for what a thread prepares from here on; tokenizer.json takes 0.5 s.
    explicit tokenizer(const std::filesystem::path& path, std::optional<token> image = std::nullopt);
    ~tokenizer();
    /// What is moved from can only be destroyed or assigned to.
    tokenizer(tokenizer&&) noexcept;
    /// The same.
    tokenizer& operator=(tokenizer&&) noexcept;

    /// Tokens of a text, without BOS or EOS; n log n in its length. Bytes that are no UTF-8 are read as U+FFFD. Throws errc::invalid_prompt
    /// for a text of 700 MB and more or one that sentencepiece cannot take, and errc::malformed_tokenizer for a vocabulary that
    /// sentencepiece refuses.
    [[nodiscard]] std::vector<token> encode(std::string_view text) const;

    /// The text of tokens: leading spaces kept, hidden ids (special tokens) left out, runs of byte pieces that form no character as U+FFFD.
    [[nodiscard]] std::string decode(std::span<const token> ids) const;

    /// The piece as the vocabulary writes it (U+2581 for a space, <0x41> for a byte); empty for an id that names none.
    [[nodiscard]] std::string_view piece(token id) const noexcept;

    /// What an id contributes to a text.
    [[nodiscard]] piece_kind kind(token id) const noexcept;

    /// The byte of a piece of kind byte; 0 for others.
    [[nodiscard]] unsigned char byte(token id) const noexcept;

    /// What an unknown piece is decoded to: " \u2047 " in Gemma's vocabulary.
    [[nodiscard]] std::string_view unknown_text() const noexcept;

    /// The id of a piece, written as `piece` gives it.
    [[nodiscard]] std::optional<token> id(std::string_view piece) const;

    /// The smallest id from `first` on that names a piece.
    [[nodiscard]] std::optional<token> next_id(token first) const noexcept;

    /// One more than the largest id that names a piece. A model's table may have more rows.
    [[nodiscard]] std::size_t size() const noexcept;

    [[nodiscard]] token bos() const noexcept;     ///< begins the prompt
    [[nodiscard]] token eos() const noexcept;     ///< ends the answer
    [[nodiscard]] token newline() const noexcept; ///< ends the prompt

    /// Fills up a batch. Throws errc::missing_token when nothing names it: pali itself needs none.
    [[nodiscard]] token pad() const;

    /// Stands for one patch of an image. Throws errc::missing_token when nothing names it.
    [[nodiscard]] token image() const;

    /// The id of `<loc0000>` ... `<loc1023>`; none where the vocabulary has no such piece.
    [[nodiscard]] std::optional<token> loc(std::size_t i) const noexcept;
    /// The id of `<seg000>` ... `<seg127>`.
    [[nodiscard]] std::optional<token> seg(std::size_t i) const noexcept;
    /// The number in a `<loc....>` piece; none for other ids.
    [[nodiscard]] std::optional<std::size_t> loc_number(token id) const noexcept;
    /// The number in a `<seg...>` piece; none for other ids.
    [[nodiscard]] std::optional<std::size_t> seg_number(token id) const noexcept;

private:
    struct parts; // keeps sentencepiece and JSON out of this header
    std::unique_ptr<parts> m_parts;
};

/// Appends a piece of kind text as it reads: U+2581 becomes a space.
inline void append_piece(std::string& out, std::string_view piece) {
    constexpr std::string_view space = "\xE2\x96\x81";
    for (std::size_t at; (at = piece.find(space)) != std::string_view::npos; piece.remove_prefix(at + space.size())) {
        out += piece.substr(0, at);
        out += ' ';
    }
    out += piece;
}

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/text/tokenizer.ipp>
#endif
