// Text to tokens and back: a tokenizer.model, and the tokens that added_tokens.json puts on top of it.
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

namespace pali::inline PALI_ABI {

/// What an id contributes to a text.
enum class piece_kind : std::uint8_t {
    text,    ///< its own text, U+2581 standing for a space
    byte,    ///< one byte of a character that has no piece of its own
    unknown, ///< a sign that something could not be encoded
    hidden,  ///< nothing: control pieces, `<image>`, ids that name no piece
};

/// The vocabulary of a checkpoint. Encodes as sentencepiece does, and so as transformers' GemmaTokenizer for text without control pieces.
///
/// Text is never a control piece: "<bos>", "<eos>", "<pad>" and "<image>" in a text are split into letters and signs, as sentencepiece and
/// the original code do; transformers' tokenizer would make them special. So no prompt can forge a picture or end itself.
/// (The two also part over more than 31 spaces in a row: sentencepiece takes 31 first, transformers halves.)
/// `<loc0000>` ... and `<seg000>` ... are one token each, as is every token of added_tokens.json, wherever they stand.
///
/// Const members may be called from many threads at once. Prints nothing.
class tokenizer {
public:
    /// Opens a folder (`tokenizer.model`, and `added_tokens.json` when it is there) or a model file alone. `image` is the id of `<image>`
    /// (config.json's image_token_index), used when neither file names that piece; a piece that has this id in the model is not used then.
    ///
    /// Throws errc::cannot_open; errc::malformed_tokenizer for a file that contradicts its format; errc::unsupported_format for a vocabulary that
    /// is not of Gemma's kind; errc::invalid_argument for an `image` below 0; errc::missing_token when it has no beginning, end or padding piece, or none for a newline. A tenth of a second for Gemma's
    /// vocabulary; the first encode() or decode() may wait a quarter more, for what a thread prepares from here on.
    explicit tokenizer(const std::filesystem::path& path, std::optional<token> image = std::nullopt);
    ~tokenizer();
    /// What is moved from can only be destroyed or assigned to.
    tokenizer(tokenizer&&) noexcept;
    /// The same.
    tokenizer& operator=(tokenizer&&) noexcept;

    /// Tokens of a text, without BOS or EOS. Bytes that are no UTF-8 are read as U+FFFD. Throws errc::invalid_prompt for a text that sentencepiece cannot take, and, of a
    /// vocabulary that it refuses, errc::malformed_tokenizer.
    [[nodiscard]] std::vector<token> encode(std::string_view text) const;

    /// The text of tokens: leading spaces kept, hidden ids left out, runs of byte pieces that form no character as U+FFFD.
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

    /// One more than the largest id that names a piece. A model's table may have more rows.
    [[nodiscard]] std::size_t size() const noexcept;

    [[nodiscard]] token bos() const noexcept;     ///< begins the prompt
    [[nodiscard]] token eos() const noexcept;     ///< ends the answer
    [[nodiscard]] token newline() const noexcept; ///< ends the prompt

    /// Fills up a batch. Throws errc::missing_token when nothing names it: pali itself needs none.
    [[nodiscard]] token pad() const;

    /// Stands for one patch of a picture. Throws errc::missing_token when nothing names it.
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
    struct parts; // keeps sentencepiece out of this header
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

} // namespace pali::inline PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/text/tokenizer.ipp>
#endif
