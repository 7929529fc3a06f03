// Base64 encoding, for terminals and JSON files.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// RFC 4648, section 4.
[[nodiscard]] PALI_INLINE std::string base64(std::span<const std::byte> bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string made;
    made.reserve(bytes.size() / 3 * 4 + 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k) made += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
