// Checks on JPEG and PNG files before stb decodes them.
#pragma once

#include <pali/image/impl/source.ipp>

#include <cstring>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Checks the Huffman tables of one segment. stb 2.27 writes out of bounds if a table has more than 256 codes.
PALI_INLINE void check_huffman_tables(const source& from, std::size_t at, std::size_t end) {
    while (at < end) {
        if (end - at < 17) damaged(from, "JPEG", "a Huffman table is incomplete");
        std::size_t codes = 0;
        for (std::size_t i = 1; i <= 16; ++i) codes += from.data()[at + i];
        if (codes > 256) damaged(from, "JPEG", {"a Huffman table has ", codes, " codes; at most 256 are valid"});
        at += 17 + codes;
    }
    if (at != end) damaged(from, "JPEG", "a Huffman table is incomplete");
}

/// Walks all markers and requires the end marker, because stb fills missing data with gray.
PALI_INLINE void check_jpeg_for_stb(const source& from) {
    const unsigned char* data = from.data();
    for (std::size_t at = 2; at + 1 < from.size();) {
        const unsigned marker = data[at + 1];
        if (data[at] != 0xff || marker == 0x00 || (marker >= 0xd0 && marker <= 0xd8)) { // entropy-coded data, restart markers
            ++at;
            continue;
        }
        if (marker == 0xff) {
            ++at;
            continue;
        }
        if (marker == 0xd9) return;
        if (from.size() - at < 4) break;
        const std::size_t end = at + 2 + static_cast<std::size_t>(data[at + 2] << 8 | data[at + 3]);
        if (end > from.size()) break;
        if (end < at + 4) damaged(from, "JPEG", "a segment is shorter than its own length field");
        if (marker == 0xc4) check_huffman_tables(from, at + 4, end);
        at = end;
    }
    truncated(from, "JPEG");
}

/// Prepares a PNG for stb and checks its size, because stb reports its own limits as damage. Pads the palette to 256 colors with black,
/// because stb shows uninitialized memory for indices outside the palette. The CRC of the chunk is not updated, because stb ignores it.
PALI_INLINE std::vector<std::byte> prepare_png_for_stb(const source& from) {
    cursor in(from, "PNG", 8);
    const auto number = [&in] {
        const unsigned char* b = in.take(4);
        return static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1]) << 16 | static_cast<std::size_t>(b[2]) << 8 | b[3];
    };
    in.take(8);
    const std::size_t width = number(), height = number();
    check_size(from, width, height);
    in.take(9);
    std::vector<std::byte> made(from.bytes.begin(), from.bytes.end());
    constexpr std::size_t most = 768;
    while (in.left() >= 12) {
        const std::size_t at = in.position(), length = number();
        const bool palette = std::memcmp(in.take(4), "PLTE", 4) == 0;
        if (palette && length <= most && length <= in.left()) {
            made.insert(made.begin() + static_cast<std::ptrdiff_t>(at + 8 + length), most - length, std::byte{0});
            made[at + 2] = std::byte{most >> 8};
            made[at + 3] = std::byte{most & 0xff};
            break; // padding one palette is enough: stb uses the last palette and refuses palettes of another size
        }
        if (length > in.left() - 4) break;
        in.take(length + 4);
    }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
