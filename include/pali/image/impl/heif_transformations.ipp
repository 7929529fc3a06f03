// The transformations of a HEIC or AVIF: rotation (irot), mirroring (imir) and crop (clap). libheif applies them to the YCbCr planes. That
// can split 2 x 2 blocks of subsampled chroma, for example if the end of an odd side moves to the front. libheif before 1.19 then shifts
// the chroma by a pixel, so in that case pali applies the transformations after the conversion to RGB. libheif can list the transformations
// since 1.16, but Debian 12 has 1.15, so they are parsed from the boxes.
#pragma once

#include <pali/image/impl/exif.ipp>
#include <pali/image/impl/heif_chroma.ipp>
#include <pali/image/impl/source.ipp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Big-endian reader of the bytes of a HEIF file. At the end it returns 0 or an empty result.
struct heif_bytes {
    std::string_view left;

    std::uint64_t number(std::size_t bytes) {
        std::uint64_t value = 0;
        if (left.size() < bytes) left = {};
        for (std::size_t i = 0; i < bytes && !left.empty(); ++i) {
            value = value << 8 | static_cast<unsigned char>(left.front());
            left.remove_prefix(1);
        }
        return value;
    }
    /// Type and content of the next box; the type is empty if there is none.
    std::pair<std::string_view, heif_bytes> box() {
        const std::string_view whole = left;
        std::uint64_t size = number(4);
        const std::string_view type = left.substr(0, 4);
        number(4);
        if (size == 1) size = number(8);
        if (size == 0) size = whole.size(); // the box extends to the end
        const std::size_t header = whole.size() - left.size();
        if (type.size() < 4 || size < header || size > whole.size()) return {left = {}, {}};
        left = whole.substr(static_cast<std::size_t>(size));
        return {type, {whole.substr(header, static_cast<std::size_t>(size) - header)}};
    }
    /// Content of the first box of this type; empty if there is none.
    [[nodiscard]] heif_bytes find(std::string_view type) const {
        heif_bytes boxes = *this;
        while (true)
            if (const auto [found, content] = boxes.box(); found.empty() || found == type) return content;
    }
};

/// One transformation: an orientation, as EXIF numbers it, or a crop to the clean aperture (clap).
struct heif_transformation {
    struct side {
        double length = 0, offset = 0;
    };
    int orientation = 1;
    bool is_crop = false;
    side across = {}, down = {};
};

/// The transformations of the primary image, in the order in which they are applied.
PALI_INLINE std::vector<heif_transformation> find_heif_transformations(const source& from) {
    heif_bytes meta = heif_bytes{{reinterpret_cast<const char*>(from.data()), from.size()}}.find("meta");
    meta.number(4); // version and flags
    heif_bytes primary = meta.find("pitm");
    const std::uint64_t item = primary.number(primary.number(4) >> 24 == 0 ? 2 : 4);
    const heif_bytes properties = meta.find("iprp");

    std::vector<std::pair<std::string_view, heif_bytes>> all;
    for (heif_bytes boxes = properties.find("ipco"); !boxes.left.empty();) all.push_back(boxes.box());

    std::vector<heif_transformation> made;
    heif_bytes associations = properties.find("ipma");
    const std::uint64_t version_and_flags = associations.number(4), items = associations.number(4);
    const bool is_long = (version_and_flags & 1) != 0;
    for (std::uint64_t i = 0; i < items && !associations.left.empty(); ++i) {
        const bool is_primary = associations.number(version_and_flags >> 24 == 0 ? 2 : 4) == item;
        for (std::uint64_t count = associations.number(1); count > 0; --count) {
            const std::uint64_t index = associations.number(is_long ? 2 : 1) & (is_long ? 0x7fff : 0x7f); // without the bit "essential"
            if (!is_primary || index == 0 || index > all.size()) continue;
            auto [type, content] = all[static_cast<std::size_t>(index) - 1];
            if (type == "irot") {
                constexpr int counter_clockwise[]{1, 8, 3, 6};
                made.push_back({.orientation = counter_clockwise[content.number(1) & 3]});
            } else if (type == "imir") {
                made.push_back({.orientation = (content.number(1) & 1) == 0 ? 4 : 2});
            } else if (type == "clap") {
                const auto fraction = [&bytes = content] {
                    const auto numerator = static_cast<std::int32_t>(bytes.number(4)),
                               denominator = static_cast<std::int32_t>(bytes.number(4));
                    return denominator == 0 ? 0.0 : static_cast<double>(numerator) / denominator;
                };
                heif_transformation crop{.is_crop = true};
                crop.across.length = fraction(), crop.down.length = fraction();
                crop.across.offset = fraction(), crop.down.offset = fraction();
                made.push_back(crop);
            }
        }
        if (is_primary) break;
    }
    return made;
}

/// Returns the first pixel and the number of pixels that a crop keeps of a side of `length` pixels; 0 pixels if the crop is outside the
/// image. Rounds like libheif.
PALI_INLINE std::pair<std::size_t, std::size_t> heif_kept(const heif_transformation::side& side, std::size_t length, bool across) {
    const double exact = side.offset + (static_cast<double>(length) - 1) / 2 - (side.length - 1) / 2,
                 start = std::floor(across ? exact : exact + 0.5);
    const double first = std::max(start, 0.0), last = std::min(std::floor(start + side.length - 0.5), static_cast<double>(length) - 1);
    if (first > last) return {0, 0};
    return {static_cast<std::size_t>(first), static_cast<std::size_t>(last - first) + 1};
}

/// Whether this transformation of a width x height image splits blocks of subsampled chroma or, by a rotation by 90 degrees, turns
/// horizontal chroma pairs (4:2:2) into vertical ones.
PALI_INLINE bool splits_chroma(const heif_transformation& t, chroma_subsampling halved, std::size_t width, std::size_t height) {
    const bool odd_width = width % 2 != 0, odd_height = height % 2 != 0;
    if (t.is_crop)
        return heif_kept(t.across, width, true).first % 2 != 0 || (halved.rows && heif_kept(t.down, height, false).first % 2 != 0);
    switch (t.orientation) {
    case 1:
        return false;
    case 2:
        return odd_width || (halved.rows && odd_height);
    case 4:
        return halved.rows && (odd_width || odd_height);
    case 6:
        return !halved.rows || odd_height;
    case 8:
        return !halved.rows || odd_width;
    default:
        return odd_width || odd_height;
    }
}

/// Whether any of the transformations splits chroma, for an image stored with width x height pixels.
PALI_INLINE bool split_chroma(const std::vector<heif_transformation>& all, chroma_subsampling halved, std::size_t width,
                              std::size_t height) {
    for (const heif_transformation& t : all) {
        if (splits_chroma(t, halved, width, height)) return halved.columns;
        if (t.is_crop) width = heif_kept(t.across, width, true).second, height = heif_kept(t.down, height, false).second;
        if (t.orientation >= 5) std::swap(width, height);
    }
    return false;
}

PALI_INLINE image transformed(image image, const heif_transformation& t) {
    if (!t.is_crop) return upright(std::move(image), t.orientation);
    const auto [left, width] = heif_kept(t.across, image.width, true);
    const auto [top, height] = heif_kept(t.down, image.height, false);
    pali::image made(width, height);
    for (std::size_t y = 0; y < height && width > 0; ++y) std::memcpy(made.at(0, y), image.at(left, top + y), width * 3);
    return made;
}

/// Applies all transformations. Returns an empty image if a crop is outside the image. Calls `interpolate` before the first transformation
/// that splits chroma. In that case libheif since 1.19, and therefore pillow_heif, interpolates chroma; otherwise it repeats chroma.
template <class Interpolate>
image transformed(image image, const std::vector<heif_transformation>& all, chroma_subsampling halved, const Interpolate& interpolate) {
    bool is_subsampled = true;
    for (const heif_transformation& t : all) {
        if (is_subsampled && splits_chroma(t, halved, image.width, image.height)) {
            interpolate(image);
            is_subsampled = false;
        }
        image = transformed(std::move(image), t);
        if (image.width == 0 || image.height == 0) break;
    }
    return image;
}

}}} // namespace pali::PALI_ABI::image_detail
