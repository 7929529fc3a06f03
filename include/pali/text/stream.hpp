// Incremental detokenizer. It emits only complete characters, and its total output equals that of decoding all tokens at once.
#pragma once

#include <pali/core/utf8.hpp>
#include <pali/text/tokenizer.hpp>

#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace text {

/// Decodes a stream of tokens. The concatenation of all push() results and finish() equals `tokenizer::decode` of all tokens, for any
/// tokens. Each result is valid UTF-8. Refers to the tokenizer, which must outlive the stream.
class text_stream {
public:
    /// Starts an empty stream.
    explicit text_stream(const tokenizer& text) : m_tokenizer(&text) {}

    /// Adds a token and returns the text that it completes. The text is empty while a character of several byte pieces is incomplete. Valid
    /// until the next call.
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

    /// Ends the stream: returns U+FFFD for pending bytes that form no character, and resets the stream. Valid until the next call.
    [[nodiscard]] std::string_view finish() {
        m_ready.clear();
        take_characters(true);
        return m_ready;
    }

private:
    /// Moves complete characters from m_bytes to m_ready. At the end of a run, incomplete bytes become U+FFFD.
    void take_characters(bool end_of_run) { m_bytes.erase(0, append_characters(m_ready, m_bytes, end_of_run)); }

    const tokenizer* m_tokenizer;
    std::string m_bytes; // the bytes of an incomplete character, at most 3 between calls
    std::string m_ready;
};

}}} // namespace pali::PALI_ABI::text
