// BMP and TGA: the checks of what stb is then given.
#pragma once

#include <pali/image/impl/stb.ipp>

#include <algorithm>

#if PALI_WITH_STB

namespace pali::inline PALI_ABI::image_detail {

PALI_INLINE image decode_bmp(const source& from) {
    cursor in(from, "BMP", 10);
    const std::size_t offset = in.u32(), header = in.u32();
    const bool old = header == 12;
    const std::int64_t width = old ? in.u16() : static_cast<std::int32_t>(in.u32());
    const std::int64_t signed_height = old ? in.u16() : static_cast<std::int32_t>(in.u32());
    in.take(2);
    const std::size_t bits = in.u16();
    const std::uint32_t compression = old ? 0 : in.u32();
    if (width < 0) malformed(from, {"the BMP is ", width, " pixels wide"});
    const auto across = static_cast<std::size_t>(width), down = static_cast<std::size_t>(signed_height < 0 ? -signed_height : signed_height);
    check_size(from, across, down);
    if (header != 12 && header != 40 && header != 56 && header != 108 && header != 124)
        refuse(errc::unsupported_image, from, {"a BMP with a header of ", header, " bytes; 12, 40, 56, 108 and 124 are read"});
    if (compression != 0 && compression != 3)
        refuse(errc::unsupported_image, from, {"a compressed BMP (kind ", compression, "); only uncompressed ones are read"});
    if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
        malformed(from, {"the BMP has ", bits, " bits a pixel"});

    const bool masks_behind = compression == 3 && (header == 40 || header == 56);
    const std::size_t colours_at = 14 + header + (masks_behind ? 12 : 0);
    if (offset < colours_at || offset > from.size())
        malformed(from, {"the pixels of the BMP begin at byte ", offset, ", which cannot be"});
    const std::size_t stride = (across * bits + 31) / 32 * 4;
    if ((down - 1) * stride + (across * bits + 7) / 8 > from.size() - offset) cut_short(from, "BMP");
    if (bits <= 8) {
        const std::size_t colours = (offset - colours_at) / (old ? 3 : 4);
        if (colours == 0 || colours > 256) malformed(from, {"the BMP has a palette of ", colours, " colours"});
        const std::size_t mask = (std::size_t{1} << bits) - 1;
        if (colours <= mask)
            for (std::size_t y = 0; y < down; ++y)
                for (std::size_t x = 0; x < across; ++x) {
                    const std::size_t byte = from.data()[offset + y * stride + x * bits / 8];
                    if ((byte >> (8 - bits - x * bits % 8) & mask) >= colours) malformed(from, "a pixel of the BMP is not in its palette");
                }
    }
    return decode_stb(from, "BMP");
}

PALI_INLINE image decode_tga(const source& from) {
    cursor in(from, "TGA");
    const std::size_t id = in.u8();
    const bool indexed = in.u8() == 1;
    const unsigned kind = in.u8();
    const std::size_t first = in.u16(), colours = in.u16(), colour_bits = in.u8();
    in.take(4);
    const std::size_t width = in.u16(), height = in.u16(), bits = in.u8();
    const unsigned flags = in.u8();
    check_size(from, width, height);
    in.take(id);
    if (indexed) {
        if (first != 0) refuse(errc::unsupported_image, from, {"a TGA whose palette begins at colour ", first, "; 0 is read"});
        in.take(colours * ((colour_bits + 7) / 8));
    }
    const std::size_t size = (bits + 7) / 8;
    if (kind < 8) {
        in.take(width * height * size);
    } else {
        for (std::size_t pixels = 0; pixels < width * height;) {
            const std::size_t packet = in.u8(), run = (packet & 127) + 1;
            in.take(packet >= 128 ? size : run * size);
            pixels += run;
        }
    }
    image made = decode_stb(from, "TGA");
    if ((flags & 0x10) != 0) // stored from right to left, which stb does not look at
        for (std::size_t y = 0; y < made.height; ++y)
            for (std::size_t x = 0; x < made.width / 2; ++x) std::swap_ranges(made.at(x, y), made.at(x, y) + 3, made.at(made.width - 1 - x, y));
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif
