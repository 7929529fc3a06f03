// EXIF orientation: found in the file, and undone in the pixels.
#pragma once

#include <pali/image/impl/source.ipp>

#include <cstring>

namespace pali::inline PALI_ABI::image_detail {

/// The orientation, 1 to 8, that a block of EXIF (TIFF) data states; 1 where it states none. Damaged data states none.
PALI_INLINE int read_orientation(std::span<const std::byte> tiff) {
    if (tiff.size() >= 6 && std::memcmp(tiff.data(), "Exif\0\0", 6) == 0) tiff = tiff.subspan(6);
    if (tiff.size() < 8) return 1;
    const auto* data = reinterpret_cast<const unsigned char*>(tiff.data());
    const bool little = data[0] == 'I';
    if (std::memcmp(data, little ? "II*\0" : "MM\0*", 4) != 0) return 1;
    const auto number = [&](std::size_t at, std::size_t size) {
        std::size_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value = value << 8 | data[at + (little ? size - 1 - i : i)];
        return value;
    };
    const std::size_t directory = number(4, 4);
    if (directory > tiff.size() - 2) return 1;
    const std::size_t entries = number(directory, 2);
    constexpr std::size_t entry_size = 12, orientation_tag = 0x0112, type_short = 3;
    for (std::size_t i = 0; i < entries; ++i) {
        const std::size_t at = directory + 2 + i * entry_size;
        if (at + entry_size > tiff.size()) return 1;
        if (number(at, 2) != orientation_tag) continue;
        const std::size_t value = number(at + 8, 2);
        return number(at + 2, 2) == type_short && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

PALI_INLINE int jpeg_orientation(const source& from) {
    const unsigned char* data = from.data();
    for (std::size_t at = 2; at + 4 <= from.size() && data[at] == 0xff;) {
        const unsigned marker = data[at + 1];
        if (marker == 0xff) { // fill
            ++at;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) break; // the picture itself
        const std::size_t length = static_cast<std::size_t>(data[at + 2] << 8 | data[at + 3]);
        if (length < 2 || at + 2 + length > from.size()) break;
        if (marker == 0xe1 && length >= 8 && std::memcmp(data + at + 4, "Exif\0\0", 6) == 0)
            return read_orientation(from.bytes.subspan(at + 4, length - 2));
        at += 2 + length;
    }
    return 1;
}

PALI_INLINE int png_orientation(const source& from) {
    const unsigned char* data = from.data();
    for (std::size_t at = 8; at + 12 <= from.size();) {
        const std::size_t length =
            static_cast<std::size_t>(data[at]) << 24 | static_cast<std::size_t>(data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]);
        if (length > from.size() - at - 12) break;
        if (std::memcmp(data + at + 4, "eXIf", 4) == 0) return read_orientation(from.bytes.subspan(at + 8, length));
        at += length + 12;
    }
    return 1;
}

PALI_INLINE int webp_orientation(const source& from) {
    cursor in(from, "WebP", 12);
    while (in.left() >= 8) {
        const unsigned char* kind = in.take(4);
        const std::size_t length = in.u32();
        if (length > in.left()) break;
        if (std::memcmp(kind, "EXIF", 4) == 0) return read_orientation(from.bytes.subspan(in.position(), length));
        in.take(length + (length % 2 == 1 && length < in.left() ? 1 : 0));
    }
    return 1;
}

/// The picture as it is to be seen, when `from` says how it was held: bit 2 of (orientation - 1) swaps the axes, the others mirror them.
PALI_INLINE image upright(image from, int orientation) {
    if (orientation == 1) return from;
    const bool swapped = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    image made(swapped ? from.height : from.width, swapped ? from.width : from.height);
    for (std::size_t y = 0; y < made.height; ++y)
        for (std::size_t x = 0; x < made.width; ++x) {
            const std::size_t column = swapped ? y : x, row = swapped ? x : y;
            std::memcpy(made.at(x, y), from.at(from_right ? from.width - 1 - column : column, from_bottom ? from.height - 1 - row : row), 3);
        }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail
