// Parses the orientation in EXIF and XMP metadata and applies it. orientation.ipp locates the metadata in a file.
#pragma once

#include <pali/image/impl/source.ipp>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Metadata that may hold the orientation of an image.
struct image_metadata {
    std::vector<std::byte> exif; ///< TIFF data, with or without a leading "Exif\0\0"
    std::string_view xmp;        ///< XML, a view of the file or of `unpacked`
    std::string unpacked;        ///< decompressed XMP
};

/// Value of the orientation tag (0x0112) in EXIF data; 0 if the value is not an integer; std::nullopt if the tag is absent or the data is
/// invalid. As in Pillow, the first readable entry wins, and parsing stops at an entry whose data lies outside the buffer.
PALI_INLINE std::optional<std::int64_t> exif_orientation(std::span<const std::byte> tiff) {
    for (int i = 0; i < 2 && tiff.size() >= 6 && std::memcmp(tiff.data(), "Exif\0\0", 6) == 0; ++i)
        tiff = tiff.subspan(6); // some writers repeat the prefix
    if (tiff.size() < 8) return std::nullopt;
    const auto* data = reinterpret_cast<const unsigned char*>(tiff.data());
    const bool little = data[0] == 'I';
    if (std::memcmp(data, little ? "II" : "MM", 2) != 0 || (std::memcmp(data + 2, "\0*", 2) != 0 && std::memcmp(data + 2, "*\0", 2) != 0))
        return std::nullopt;
    const auto number = [&](std::uint64_t at, std::size_t size) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value = value << 8 | data[at + (little ? size - 1 - i : i)];
        return value;
    };
    const std::uint64_t directory = number(4, 4);
    if (directory > tiff.size() - 2) return std::nullopt;
    const std::uint64_t entries = number(directory, 2);
    constexpr std::uint64_t entry_size = 12, orientation_tag = 0x0112;
    constexpr std::array<std::uint8_t, 14> sizes{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}; // size of one value, by type
    for (std::uint64_t i = 0; i < entries; ++i) {
        const std::uint64_t at = directory + 2 + i * entry_size;
        if (at + entry_size > tiff.size()) break;
        const std::uint64_t type = number(at + 2, 2);
        const std::uint64_t bytes = type < sizes.size() ? number(at + 4, 4) * sizes[type] : 0;
        if (bytes == 0 || bytes > tiff.size()) continue;
        const std::uint64_t values = bytes > 4 ? number(at + 8, 4) : at + 8;
        if (values + bytes > tiff.size()) break;
        if (number(at, 2) != orientation_tag) continue;
        switch (type) {
        case 3:
            return static_cast<std::int64_t>(number(values, 2)); // SHORT
        case 4:                                                  // LONG
        case 13:
            return static_cast<std::int64_t>(number(values, 4)); // IFD
        case 6:
            return static_cast<std::int8_t>(number(values, 1)); // SBYTE
        case 8:
            return static_cast<std::int16_t>(number(values, 2)); // SSHORT
        case 9:
            return static_cast<std::int32_t>(number(values, 4)); // SLONG
        default:
            return 0;
        }
    }
    return std::nullopt;
}

/// The value of the first tiff:Orientation in XMP, attribute or element, that is a digit; std::nullopt if there is none.
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

/// EXIF orientation, 1 to 8. As in Pillow, XMP counts only if EXIF has no orientation tag, and a value outside 1 to 8 means upright.
PALI_INLINE int orientation_of(const image_metadata& from) {
    std::optional<std::int64_t> found = exif_orientation(from.exif);
    if (!found) found = xmp_orientation(from.unpacked.empty() ? from.xmp : std::string_view(from.unpacked));
    const std::int64_t value = found.value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

/// Applies an EXIF orientation: bit 2 of (orientation - 1) transposes, the other bits mirror.
PALI_INLINE image upright(image from, int orientation) {
    if (orientation == 1) return from;
    const bool transposed = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    image made(transposed ? from.height : from.width, transposed ? from.width : from.height);
    for (std::size_t y = 0; y < made.height; ++y)
        for (std::size_t x = 0; x < made.width; ++x) {
            const std::size_t column = transposed ? y : x, row = transposed ? x : y;
            std::memcpy(made.at(x, y), from.at(from_right ? from.width - 1 - column : column, from_bottom ? from.height - 1 - row : row),
                        3);
        }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
