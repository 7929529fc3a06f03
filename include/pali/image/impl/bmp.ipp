// BMP decoder: OS/2 and Windows headers, 1 to 32 bits, palettes, bit fields, RLE4 and RLE8. Truncated pixel data is an error.
#pragma once

#include <pali/image/impl/source.ipp>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Header fields that affect the pixels.
struct bmp_header {
    std::size_t size = 0; ///< of the information header, in bytes
    std::size_t width = 0, height = 0;
    bool top_down = false;
    std::size_t bits = 0;          ///< per pixel
    std::uint32_t compression = 0; ///< 0: none, 1: RLE8, 2: RLE4, 3: bit fields
    std::size_t colours = 0;       ///< palette size, as declared
    std::size_t palette_at = 0, pixels_at = 0;
    std::array<std::uint32_t, 3> masks{}; ///< red, green, blue; only for more than 8 bits per pixel

    [[nodiscard]] std::size_t colour_size() const noexcept { return size == 12 ? 3 : 4; }
    /// Bytes per row if not run-length encoded.
    [[nodiscard]] std::size_t stride() const noexcept { return (width * bits + 31) / 32 * 4; }
    [[nodiscard]] bool run_lengths() const noexcept { return compression == 1 || compression == 2; }
};

PALI_INLINE void check_bmp(const source& from, const bmp_header& h) {
    if (h.compression > 3) {
        const char* const what = h.size == 64         ? "RLE24"
                                 : h.compression == 4 ? "an embedded JPEG"
                                 : h.compression == 5 ? "an embedded PNG"
                                                      : "an unknown compression";
        refuse(errc::unsupported_image, from,
               {"a BMP with ", what, " (compression ", h.compression, ") is not supported; uncompressed, RLE4, RLE8 and bit fields are"});
    }
    if (h.bits != 1 && h.bits != 2 && h.bits != 4 && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32)
        damaged(from, "BMP", {h.bits, " bits per pixel; 1, 2, 4, 8, 16, 24 or 32 are valid"});
    if (h.bits > 8 ? h.run_lengths() : h.compression == 3)
        refuse(errc::unsupported_image, from,
               {"a BMP of ", h.bits, " bits per pixel with compression ", h.compression, " is not supported"});
    if (h.bits <= 8 && h.colours > 65536) damaged(from, "BMP", {"its palette has ", h.colours, " colours; at most 65536 are supported"});
    for (const std::uint32_t mask : h.masks)
        if (const std::uint32_t ones = mask == 0 ? 0 : mask >> std::countr_zero(mask); (ones & (ones + 1)) != 0)
            refuse(errc::unsupported_image, from,
                   {"a BMP with a bit field of mask ", mask, ", whose bits are not adjacent, is not supported"});
}

PALI_INLINE bmp_header read_bmp_header(const source& from) {
    cursor in(from, "BMP", 10);
    bmp_header h;
    h.pixels_at = in.u32();
    h.size = in.u32();
    if (h.size != 12 && h.size != 16 && h.size != 40 && h.size != 52 && h.size != 56 && h.size != 64 && h.size != 108 && h.size != 124)
        refuse(errc::unsupported_image, from,
               {"a BMP with a header of ", h.size, " bytes is not supported; 12, 16, 40, 52, 56, 64, 108 and 124 are"});
    const unsigned char* const fields = in.take(h.size - 4);
    const auto field = [&](std::size_t at, std::size_t bytes) { // field at this offset in the header; 0 if the header is too short for it
        std::uint32_t value = 0;
        if (at + bytes <= h.size)
            for (std::size_t i = bytes; i-- > 0;) value = value << 8 | fields[at - 4 + i];
        return value;
    };
    const bool os2 = h.size == 12;
    h.width = field(4, os2 ? 2 : 4);
    const std::uint32_t height = os2 ? field(6, 2) : field(8, 4);
    h.top_down = height >> 24 == 0xff; // a negative height; a positive height of 2^24 or more exceeds any limit
    h.height = h.top_down ? 0u - height : height;
    check_size(from, h.width, h.height);
    h.bits = field(os2 ? 10 : 14, 2);
    h.compression = os2 ? 0 : field(16, 4);
    h.colours = os2 ? 0 : field(32, 4);
    h.palette_at = in.position();

    if (h.compression == 3 && h.bits > 8) {
        for (std::size_t i = 0; i < 3; ++i)
            h.masks[i] = h.size >= 52 ? field(40 + 4 * i, 4) : in.u32(); // in a V1 file, the masks follow the header
        if (h.masks == std::array<std::uint32_t, 3>{} && h.bits == 32) h.masks = {0xff0000, 0xff00, 0xff};
    } else if (h.bits > 8) {
        h.masks = h.bits == 16 ? std::array<std::uint32_t, 3>{0x7c00, 0x3e0, 0x1f} : std::array<std::uint32_t, 3>{0xff0000, 0xff00, 0xff};
    }
    check_bmp(from, h);
    if (h.colours == 0) h.colours = std::size_t{1} << h.bits;
    const std::size_t palette = h.bits <= 8 ? h.colours * h.colour_size() : 0;
    if (h.pixels_at == 0) h.pixels_at = in.position() + palette;
    else if (h.pixels_at == 14 + h.size) h.pixels_at += palette; // some writers omit the palette from the offset
    return h;
}

/// Colors by palette index; indices past the palette are black.
PALI_INLINE std::array<std::array<std::uint8_t, 3>, 256> read_bmp_palette(const source& from, const bmp_header& h) {
    std::array<std::array<std::uint8_t, 3>, 256> made{};
    bool ramp = h.bits == 8 && h.colours > 2;
    for (std::size_t i = 0; i < h.colours && i < made.size(); ++i) {
        const std::size_t at = h.palette_at + i * h.colour_size();
        if (at + h.colour_size() > from.size()) break; // the declared palette may exceed the actual one and the file
        for (std::size_t c = 0; c < 3; ++c) made[i][c] = from.data()[at + 2 - c];
        ramp = ramp && made[i][0] == i && made[i][1] == i && made[i][2] == i;
    }
    if (ramp) // Pillow treats such a palette as gray, even for indices past its end
        for (std::size_t i = 0; i < made.size(); ++i) made[i].fill(static_cast<std::uint8_t>(i));
    return made;
}

/// Decodes RLE4 or RLE8 data to palette indices, in file order. Skipped pixels have index 0.
PALI_INLINE std::vector<std::uint8_t> read_bmp_runs(const source& from, const bmp_header& h) {
    const bool nibbles = h.compression == 2;
    const std::size_t count = h.width * h.height;
    std::vector<std::uint8_t> indices(count);
    cursor in(from, "BMP", std::min(h.pixels_at, from.size()));
    std::size_t at = 0, x = 0; // x: column of the next pixel; may equal the width
    while (at < count) {
        const std::size_t length = in.u8(), code = in.u8();
        if (length > 0) { // a run; pixels past the end of the row are dropped
            const std::size_t pixels = std::min(length, h.width - std::min(x, h.width));
            for (std::size_t i = 0; i < pixels && at < count; ++i)
                indices[at++] = static_cast<std::uint8_t>(!nibbles ? code : i % 2 == 0 ? code >> 4 : code & 15);
            x += pixels;
        } else if (code == 0) { // end of row
            if (x == 0 || at % h.width != 0) at += h.width - at % h.width;
            x = 0;
        } else if (code == 1) { // end of image
            break;
        } else if (code == 2) { // delta: columns to the right, rows down
            const std::size_t right = in.u8(), rows = in.u8();
            at += right + rows * h.width;
            x = at % h.width;
        } else { // literal pixels, padded to 16 bits; they may continue in the next row
            const std::size_t bytes = nibbles ? (code + 1) / 2 : code;
            const unsigned char* const data = in.take(std::min(bytes, in.left()));
            const std::size_t pixels = std::min(code, count - at);
            if (static_cast<std::size_t>(from.data() + from.size() - data) < (nibbles ? (pixels + 1) / 2 : pixels)) truncated(from, "BMP");
            for (std::size_t i = 0; i < pixels; ++i)
                indices[at++] = static_cast<std::uint8_t>(!nibbles ? data[i] : i % 2 == 0 ? data[i / 2] >> 4 : data[i / 2] & 15);
            if (bytes % 2 != 0 && !in.at_end()) in.take(1);
            x += code;
        }
    }
    return indices;
}

/// Extracts a bit field and scales it to 8 bits with Pillow's rounding: value * 255 / largest, towards 0.
struct bmp_field {
    explicit bmp_field(std::uint32_t mask)
        : m_mask(mask), m_shift(std::countr_zero(mask)), m_top(mask == 0 ? 1 : mask >> std::countr_zero(mask)) {}
    [[nodiscard]] std::uint8_t operator()(std::uint32_t pixel) const noexcept {
        return m_mask == 0 ? 0 : static_cast<std::uint8_t>(std::uint64_t{(pixel & m_mask) >> m_shift} * 255 / m_top);
    }

private:
    std::uint32_t m_mask;
    int m_shift;
    std::uint32_t m_top;
};

PALI_INLINE void read_bmp_rows(const source& from, const bmp_header& h, image& to) {
    const auto palette = h.bits <= 8 ? read_bmp_palette(from, h) : std::array<std::array<std::uint8_t, 3>, 256>{};
    const bool bytes = h.bits > 16 && h.masks == std::array<std::uint32_t, 3>{0xff0000, 0xff00, 0xff};
    const bmp_field red(h.masks[0]), green(h.masks[1]), blue(h.masks[2]);
    for (std::size_t y = 0; y < h.height; ++y) {
        const unsigned char* in = from.data() + h.pixels_at + y * h.stride();
        std::uint8_t* out = to.at(0, h.top_down ? y : h.height - 1 - y);
        for (std::size_t x = 0; x < h.width; ++x, out += 3) {
            if (h.bits <= 8) {
                const std::size_t bit = x * h.bits;
                std::memcpy(out, palette[in[bit / 8] >> (8 - h.bits - bit % 8) & ((1u << h.bits) - 1)].data(), 3);
                continue;
            }
            const unsigned char* const b = in + x * (h.bits / 8);
            if (bytes) {
                out[0] = b[2], out[1] = b[1], out[2] = b[0];
                continue;
            }
            std::uint32_t pixel = 0;
            for (std::size_t i = h.bits / 8; i-- > 0;) pixel = pixel << 8 | b[i];
            out[0] = red(pixel), out[1] = green(pixel), out[2] = blue(pixel);
        }
    }
}

PALI_INLINE image decode_bmp(const source& from) {
    const bmp_header h = read_bmp_header(from);
    if (!h.run_lengths()) {
        const std::size_t needed = (h.height - 1) * h.stride() + (h.width * h.bits + 7) / 8; // the last row may lack its padding
        if (h.pixels_at > from.size() || needed > from.size() - h.pixels_at) truncated(from, "BMP");
        image made(h.width, h.height);
        read_bmp_rows(from, h, made);
        return made;
    }
    const std::vector<std::uint8_t> indices = read_bmp_runs(from, h);
    const auto palette = read_bmp_palette(from, h);
    image made(h.width, h.height);
    for (std::size_t y = 0; y < h.height; ++y)
        for (std::size_t x = 0; x < h.width; ++x)
            std::memcpy(made.at(x, h.top_down ? y : h.height - 1 - y), palette[indices[y * h.width + x]].data(), 3);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
