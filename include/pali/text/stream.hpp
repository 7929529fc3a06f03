// Tokens to text while they arrive: only whole characters, and in the end the text that decoding all at once gives.
#pragma once

#include <pali/core/utf8.hpp>
#include <pali/text/tokenizer.hpp>

#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Decodes a stream of tokens. All that `push` gave, and then `finish`, is `tokenizer::decode` of all tokens, for any tokens. What each
/// call gives is valid UTF-8. Refers to the tokenizer, which must outlive it.
class text_stream {
public:
    /// With nothing held back.
    explicit text_stream(const tokenizer& text) : m_tokenizer(&text) {}

    /// The text that one more token makes certain; often empty within a character of byte pieces. Valid until the next call.
    [[nodiscard]] std::string_view push(token id) {
        m_ready.clear();
        const piece_kind kind = m_tokenizer->kind(id);
        if (kind == piece_kind::byte) {
            m_bytes += static_cast<char>(m_tokenizer->byte(id));
            take_characters(false);
            return m_ready;
        }
        take_characters(true);
        if (kind == piece_kind::text) append_piece(m_ready, m_tokenizer->piece(id));
        else if (kind == piece_kind::unknown) m_ready += m_tokenizer->unknown_text();
        return m_ready;
    }

    /// What was held back: bytes that will not become a character. The stream is as new afterwards. Valid until the next call.
    [[nodiscard]] std::string_view finish() {
        m_ready.clear();
        take_characters(true);
        return m_ready;
    }

private:
    /// Moves characters from the bytes held to the text. At the end of a run, bytes that are cut off are none.
    void take_characters(bool end_of_run) { m_bytes.erase(0, append_characters(m_ready, m_bytes, end_of_run)); }

    const tokenizer* m_tokenizer;
    std::string m_bytes; // of a character that is not whole yet: 3 at most between calls
    std::string m_ready;
};

}} // namespace pali::PALI_ABI
