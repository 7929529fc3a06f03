// Orientation out of EXIF and XMP metadata, and its effect on pixels. Which bytes of a file are metadata: orientation.ipp.
#pragma once

#include <pali/image/impl/source.ipp>

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI::image_detail {

/// The metadata of a picture that may hold its orientation.
struct picture_metadata {
    std::vector<std::byte> exif; ///< TIFF data, with or without "Exif\0\0" in front
    std::string_view xmp;        ///< XML, within the file or within `unpacked`
    std::string unpacked;        ///< XMP that was compressed
};

/// The orientation tag (0x0112) of EXIF data, of whatever value; nothing where the tag is absent or the data is invalid.
PALI_INLINE std::optional<std::int64_t> exif_orientation(std::span<const std::byte> tiff) {
    for (int i = 0; i < 2 && tiff.size() >= 6 && std::memcmp(tiff.data(), "Exif\0\0", 6) == 0; ++i) tiff = tiff.subspan(6); // some writers repeat it
    if (tiff.size() < 8) return std::nullopt;
    const auto* data = reinterpret_cast<const unsigned char*>(tiff.data());
    const bool little = data[0] == 'I';
    if (std::memcmp(data, little ? "II" : "MM", 2) != 0 || (std::memcmp(data + 2, "\0*", 2) != 0 && std::memcmp(data + 2, "*\0", 2) != 0)) return std::nullopt;
    const auto number = [&](std::size_t at, std::size_t size) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value = value << 8 | data[at + (little ? size - 1 - i : i)];
        return value;
    };
    const auto directory = static_cast<std::size_t>(number(4, 4));
    if (directory > tiff.size() - 2) return std::nullopt;
    const auto entries = static_cast<std::size_t>(number(directory, 2));
    constexpr std::size_t entry_size = 12, orientation_tag = 0x0112;
    std::optional<std::int64_t> found;
    for (std::size_t i = 0; i < entries; ++i) {
        const std::size_t at = directory + 2 + i * entry_size;
        if (at + entry_size > tiff.size()) break;
        if (number(at, 2) != orientation_tag || number(at + 4, 4) != 1) continue;
        switch (number(at + 2, 2)) {
        case 3: found = static_cast<std::int64_t>(number(at + 8, 2)); break;  // SHORT
        case 4: found = static_cast<std::int64_t>(number(at + 8, 4)); break;  // LONG
        case 6: found = static_cast<std::int8_t>(number(at + 8, 1)); break;   // SBYTE
        case 8: found = static_cast<std::int16_t>(number(at + 8, 2)); break;  // SSHORT
        case 9: found = static_cast<std::int32_t>(number(at + 8, 4)); break;  // SLONG
        default: break;
        }
    }
    return found;
}

/// The first tiff:Orientation of XMP, as an attribute or an element, whose value is a digit.
PALI_INLINE std::optional<std::int64_t> xmp_orientation(std::string_view xmp) {
    constexpr std::string_view name = "tiff:Orientation";
    for (std::size_t at = xmp.find(name); at != xmp.npos; at = xmp.find(name, at)) {
        at += name.size();
        const std::string_view rest = xmp.substr(at);
        const std::size_t digit = rest.starts_with("=\"") ? 2 : rest.starts_with(">") ? 1 : rest.size();
        if (digit < rest.size() && rest[digit] >= '0' && rest[digit] <= '9') return rest[digit] - '0';
    }
    return std::nullopt;
}

/// 1 to 8. As in Pillow, XMP counts where EXIF has no orientation tag, and a value outside 1 to 8 means upright.
PALI_INLINE int orientation_of(const picture_metadata& from) {
    std::optional<std::int64_t> found = exif_orientation(from.exif);
    if (!found) found = xmp_orientation(from.unpacked.empty() ? from.xmp : std::string_view(from.unpacked));
    const std::int64_t value = found.value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

/// Turns a picture with this orientation upright: bit 2 of (orientation - 1) transposes, the other bits mirror.
PALI_INLINE image upright(image from, int orientation) {
    if (orientation == 1) return from;
    const bool transposed = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    image made(transposed ? from.height : from.width, transposed ? from.width : from.height);
    for (std::size_t y = 0; y < made.height; ++y)
        for (std::size_t x = 0; x < made.width; ++x) {
            const std::size_t column = transposed ? y : x, row = transposed ? x : y;
            std::memcpy(made.at(x, y), from.at(from_right ? from.width - 1 - column : column, from_bottom ? from.height - 1 - row : row), 3);
        }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail
