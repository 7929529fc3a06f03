// JPEG and PNG where their libraries are absent: what is checked before stb is given them.
#pragma once

#include <pali/image/impl/source.ipp>

namespace pali::inline PALI_ABI::image_detail {

/// The Huffman tables of one segment: stb 2.27 writes past its memory when one has more than 256 codes.
PALI_INLINE void check_huffman_tables(const source& from, std::size_t at, std::size_t end) {
    while (at < end) {
        if (end - at < 17) damaged(from, "JPEG", "a Huffman table is incomplete");
        std::size_t codes = 0;
        for (std::size_t i = 1; i <= 16; ++i) codes += from.data()[at + i];
        if (codes > 256) damaged(from, "JPEG", {"a Huffman table has ", codes, " codes; 256 are possible"});
        at += 17 + codes;
    }
    if (at != end) damaged(from, "JPEG", "a Huffman table is incomplete");
}

/// Every marker up to the last: stb fills with grey what is missing, so the end marker is asked for.
PALI_INLINE void check_jpeg_for_stb(const source& from) {
    const unsigned char* data = from.data();
    for (std::size_t at = 2; at + 1 < from.size();) {
        const unsigned marker = data[at + 1];
        if (data[at] != 0xff || marker == 0x00 || (marker >= 0xd0 && marker <= 0xd8)) { // coded data, restarts
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

/// stb has limits of its own, which it does not tell from damage.
PALI_INLINE void check_png_for_stb(const source& from) {
    cursor in(from, "PNG", 16);
    const auto number = [&] {
        const unsigned char* b = in.take(4);
        return static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1]) << 16 | static_cast<std::size_t>(b[2]) << 8 | b[3];
    };
    const std::size_t width = number(), height = number();
    check_size(from, width, height);
}

} // namespace pali::inline PALI_ABI::image_detail
