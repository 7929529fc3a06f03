// PNM decoder: PBM, PGM and PPM as text (P1 to P3) or binary (P4 to P6), with a maximum value of up to 65535.
#pragma once

#include <pali/image/impl/source.ipp>

#include <array>
#include <cmath>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

PALI_INLINE bool is_pnm_space(std::uint8_t c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Reads the next number of the text and the single white space after it; comments run from '#' to the end of the line.
PALI_INLINE std::size_t read_pnm_number(const source& from, cursor& in) {
    std::uint8_t c = in.u8();
    while (is_pnm_space(c) || c == '#') {
        if (c == '#')
            while (c != '\n' && c != '\r') c = in.u8();
        c = in.u8();
    }
    std::size_t value = 0;
    for (int digits = 0;; ++digits) {
        if (c < '0' || c > '9' || digits == 10) damaged(from, "PNM", "it has no valid number where one is expected");
        value = value * 10 + (c - std::size_t{'0'});
        if (in.at_end()) return value;
        c = in.u8();
        if (is_pnm_space(c)) return value;
        if (c == '#') {
            while (c != '\n' && c != '\r' && !in.at_end()) c = in.u8();
            return value;
        }
    }
}

/// Reads one pixel of a text PBM; white space between pixels is optional.
PALI_INLINE bool read_pnm_bit(const source& from, cursor& in) {
    for (;;) {
        std::uint8_t c = in.u8();
        if (c == '#')
            while (c != '\n' && c != '\r') c = in.u8();
        if (is_pnm_space(c)) continue;
        if (c != '0' && c != '1') damaged(from, "PBM", "it has a character other than 0 and 1");
        return c == '1';
    }
}

PALI_INLINE image decode_pnm(const source& from) {
    cursor in(from, "PNM", 1);
    const int kind = in.u8() - '0';
    const bool text = kind <= 3, bits = kind % 3 == 1;
    const std::size_t channels = kind % 3 == 0 ? 3 : 1;
    in.take(1);
    const std::size_t width = read_pnm_number(from, in), height = read_pnm_number(from, in);
    const std::size_t top = bits ? 1 : read_pnm_number(from, in);
    if (top < 1 || top > 65535) damaged(from, "PNM", {"its maximum value is ", top, "; 1 to 65535 are valid"});
    check_size(from, width, height);
    // Each value takes at least one byte (a bit in binary PBM), so a short file is refused before memory is allocated.
    const std::size_t row = bits && !text ? (width + 7) / 8 : width * channels;
    const std::size_t value_size = !text && top > 255 ? 2 : 1;
    if (row * value_size * height > in.left()) truncated(from, "PNM");

    // Pillow keeps 16-bit gray and clips it when it converts to RGB. All other values are scaled, ties to even.
    const bool clipped = channels == 1 && top > 255;
    std::size_t above = 0;
    const auto scaled = [&](std::size_t value) {
        if (text && value > top) damaged(from, "PNM", {"it has a value of ", value, ", above its maximum of ", top});
        const double share = static_cast<double>(value) / static_cast<double>(top);
        const double level = std::nearbyint(share * (clipped ? 65535.0 : 255.0));
        if (level > 255.0) ++above;
        return static_cast<std::uint8_t>(std::min(level, 255.0));
    };
    std::array<std::uint8_t, 256> bytes{};
    if (!text && top <= 255)
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = scaled(i);

    image made(width, height);
    for (std::size_t y = 0; y < height; ++y) {
        const unsigned char* data = text ? nullptr : in.take(row * value_size);
        std::uint8_t* out = made.at(0, y);
        for (std::size_t i = 0; i < width * channels; ++i) {
            std::uint8_t value = 0;
            if (bits) value = (text ? read_pnm_bit(from, in) : (data[i / 8] >> (7 - i % 8) & 1) != 0) ? 0 : 255; // 1 is black
            else if (text) value = scaled(read_pnm_number(from, in));
            else if (value_size == 1) value = bytes[data[i]];
            else value = scaled(static_cast<std::size_t>(data[2 * i] << 8 | data[2 * i + 1]));
            if (channels == 3) out[i] = value;
            else out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = value;
        }
    }
    warn_of_clipping(from, above, width * height);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
