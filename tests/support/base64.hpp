// A base64 decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace pali::test {

/// Decodes padded base64. Throws std::runtime_error for anything else.
inline std::vector<std::byte> from_base64(std::string_view digits) {
    const std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<std::byte> bytes;
    if (digits.size() % 4 != 0) throw std::runtime_error("base64 without padding");
    for (std::size_t i = 0; i < digits.size(); i += 4) {
        std::uint32_t bits = 0;
        std::size_t count = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const std::size_t digit = alphabet.find(digits[i + k]);
            if (digit == alphabet.npos && (digits[i + k] != '=' || i + 4 != digits.size())) throw std::runtime_error("no base64");
            count += digit != alphabet.npos;
            bits = bits << 6 | static_cast<std::uint32_t>(digit == alphabet.npos ? 0 : digit);
        }
        for (std::size_t k = 0; k + 1 < count; ++k) bytes.push_back(static_cast<std::byte>(bits >> (16 - 8 * k)));
    }
    return bytes;
}

} // namespace pali::test
