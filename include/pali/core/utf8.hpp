// UTF-8 decoding by the rules of sentencepiece, so that streamed text equals the text that sentencepiece decodes.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace core {

/// The first character of a text.
struct utf8_character {
    std::size_t length = 0; ///< bytes of the character, 1 to 4; 0 if it is invalid or incomplete
    bool cut_off = false;   ///< incomplete: more bytes could make it valid
    char32_t code = 0;      ///< code point; 0 if `length` is 0
};

/// Decodes the first character of `text`. Overlong forms, surrogates and code points above 10FFFF are invalid.
[[nodiscard]] inline utf8_character first_character(std::string_view text) noexcept {
    if (text.empty()) return {};
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {.length = 1, .code = lead};
    if (lead < 0xc2 || lead > 0xf4) return {};
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t code = lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size()) return {.cut_off = true};
        if ((byte(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3f);
        // Lead bytes E0, F0, ED and F4 limit the second byte. After E0 and F0, smaller values would be overlong forms. After ED, larger
        // values would be surrogates. After F4, larger values would be above 10FFFF.
        if (i == 1 && ((lead == 0xe0 && code < 0x20) || (lead == 0xf0 && code < 0x10) || (lead == 0xed && code > 0x35f) ||
                       (lead == 0xf4 && code > 0x10f)))
            return {};
    }
    return {.length = length, .code = code};
}

/// Whether `text` is valid UTF-8 with no incomplete character.
[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = first_character(text).length;
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

/// U+FFFD, the replacement for invalid bytes.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Appends the characters of `bytes`, with U+FFFD for each byte that is not part of a valid character. Returns the number of bytes
/// consumed. If `whole`, all bytes are consumed; otherwise an incomplete character at the end is left.
inline std::size_t append_characters(std::string& out, std::string_view bytes, bool whole) {
    std::string_view rest = bytes;
    while (!rest.empty()) {
        const utf8_character c = first_character(rest);
        if (c.cut_off && !whole) break;
        if (c.length > 0) out += rest.substr(0, c.length);
        else out += replacement_character;
        rest.remove_prefix(c.length > 0 ? c.length : 1);
    }
    return bytes.size() - rest.size();
}

}}} // namespace pali::PALI_ABI::core
