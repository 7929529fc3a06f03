// TGA decoder: color-mapped, true-color and gray, 1 to 32 bits, raw and run-length encoded. Truncated pixel data is an error.
#pragma once

#include <pali/image/impl/source.ipp>

#include <algorithm>
#include <array>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

struct tga_header {
    std::size_t id_size = 0; ///< bytes after the header, ignored
    bool mapped = false;     ///< has a color map
    unsigned kind = 0;       ///< 1: indices, 2: colors, 3: gray
    bool run_lengths = false;
    std::size_t map_first = 0, map_size = 0, map_bits = 0;
    std::size_t width = 0, height = 0, bits = 0;
    bool from_right = false, from_top = false;

    [[nodiscard]] std::size_t pixel_size() const noexcept { return (bits + 7) / 8; } ///< in bytes
};

/// Reads the header; returns false if its fields are inconsistent. This also detects the format, because TGA has no signature.
PALI_INLINE bool read_tga_header(std::span<const std::byte> bytes, tga_header& h) {
    if (bytes.size() < 18) return false;
    const auto u8 = [&](std::size_t at) { return std::to_integer<unsigned>(bytes[at]); };
    const auto u16 = [&](std::size_t at) { return std::size_t{u8(at)} | std::size_t{u8(at + 1)} << 8; };
    h = {u8(0),  u8(1) == 1,           u8(2) & 7,           (u8(2) & 8) != 0, u16(3), u16(5), u8(7), u16(12), u16(14),
         u8(16), (u8(17) & 0x10) != 0, (u8(17) & 0x20) != 0};
    if (u8(1) > 1 || u8(2) > 15 || (u8(17) & 0xc0) != 0 || h.width == 0 || h.height == 0) return false;
    const auto wide = [](std::size_t bits) { return bits == 15 || bits == 16 || bits == 24 || bits == 32; };
    if (h.mapped && !wide(h.map_bits)) return false;
    switch (h.kind) {
    case 1:
        return h.mapped && h.bits == 8;
    case 2:
        return wide(h.bits);
    case 3:
        return !h.mapped && (h.bits == 1 || h.bits == 8 || h.bits == 16); // 16: gray and alpha
    default:
        return false;
    }
}

/// Reads a color of 15, 16, 24 or 32 bits; 5-bit fields are rounded as in Pillow.
PALI_INLINE void read_tga_colour(const unsigned char* in, std::size_t bits, std::uint8_t* out) noexcept {
    if (bits > 16) {
        out[0] = in[2], out[1] = in[1], out[2] = in[0];
        return;
    }
    const unsigned pixel = in[0] | static_cast<unsigned>(in[1]) << 8;
    for (unsigned c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>((pixel >> (10 - 5 * c) & 31) * 255 / 31);
}

PALI_INLINE image decode_tga(const source& from) {
    cursor in(from, "TGA");
    in.take(18);
    tga_header h;
    (void)read_tga_header(from.bytes, h); // succeeded during format detection
    check_size(from, h.width, h.height);
    in.take(h.id_size);
    std::array<std::array<std::uint8_t, 3>, 256> map{}; // indices outside the map are black
    if (h.mapped) {
        const std::size_t size = (h.map_bits + 7) / 8;
        const unsigned char* const colours = in.take(h.map_size * size);
        for (std::size_t i = 0; i < h.map_size && h.map_first + i < map.size(); ++i)
            read_tga_colour(colours + i * size, h.map_bits, map[h.map_first + i].data());
    }

    const std::size_t size = h.pixel_size(), stride = h.bits == 1 ? (h.width + 7) / 8 : h.width * size;
    const unsigned char* rows = nullptr;
    std::vector<unsigned char> unpacked;
    if (!h.run_lengths) {
        rows = in.take(stride * h.height);
    } else {
        const std::size_t total = stride * h.height;
        if (total / 128 > in.left()) truncated(from, "TGA"); // a packet of 1 + size bytes holds at most 128 pixels
        unpacked.reserve(total);
        while (unpacked.size() < total) { // packets may cross rows
            const std::size_t packet = in.u8(), pixels = (packet & 127) + 1;
            const unsigned char* const data = in.take(packet >= 128 ? size : pixels * size);
            for (std::size_t i = 0; i < pixels && unpacked.size() < total; ++i) {
                const unsigned char* const pixel = data + (packet >= 128 ? 0 : i * size);
                unpacked.insert(unpacked.end(), pixel, pixel + size);
            }
        }
        rows = unpacked.data();
    }

    image made(h.width, h.height);
    for (std::size_t y = 0; y < h.height; ++y)
        for (std::size_t x = 0; x < h.width; ++x) {
            const unsigned char* const pixel = rows + y * stride + (h.bits == 1 ? x / 8 : x * size);
            std::uint8_t* const out = made.at(h.from_right ? h.width - 1 - x : x, h.from_top ? y : h.height - 1 - y);
            if (h.kind == 2) read_tga_colour(pixel, h.bits, out);
            else if (h.kind == 1) std::copy_n(map[*pixel].data(), 3, out);
            else std::fill_n(out, 3, h.bits == 1 ? static_cast<std::uint8_t>((*pixel >> (7 - x % 8) & 1) != 0 ? 255 : 0) : *pixel);
        }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
