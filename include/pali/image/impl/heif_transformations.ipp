// The transformations of a HEIC or AVIF: rotation (irot), mirroring (imir) and crop (clap). libheif applies them to the YCbCr planes. If
// that splits a 2 x 2 block of subsampled chroma (an odd side that moves to the front), libheif before 1.19 shifts the chroma by a pixel;
// pali then applies them itself. libheif can list the transformations since 1.16, but Debian 12 has 1.15, so they are parsed from the
// boxes.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_HEIF

#  include <pali/image/impl/exif.ipp>
#  include <pali/image/impl/heif_bytes.ipp>
#  include <pali/image/impl/heif_chroma.ipp>

#  include <algorithm>
#  include <cmath>
#  include <cstdint>
#  include <cstring>
#  include <optional>
#  include <string_view>
#  include <utility>
#  include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

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
PALI_INLINE std::vector<heif_transformation> find_heif_transformations(const heif_properties& properties) {
    std::vector<heif_transformation> made;
    for (auto [type, content] : properties.primary) {
        if (type == "irot") {
            constexpr int counter_clockwise[]{1, 8, 3, 6};
            made.push_back({.orientation = counter_clockwise[content.number(1) & 3]});
        } else if (type == "imir") {
            made.push_back({.orientation = (content.number(1) & 1) == 0 ? 4 : 2});
        } else if (type == "clap") {
            const auto fraction = [&bytes = content] {
                const auto numerator = static_cast<std::int32_t>(bytes.number(4)), denominator = static_cast<std::int32_t>(bytes.number(4));
                return denominator == 0 ? 0.0 : static_cast<double>(numerator) / denominator;
            };
            heif_transformation crop{.is_crop = true};
            crop.across.length = fraction(), crop.down.length = fraction();
            crop.across.offset = fraction(), crop.down.offset = fraction();
            made.push_back(crop);
        }
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

/// Whether any of the transformations does so, for an image stored with width x height pixels.
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

/// Applies all transformations. Returns an empty image if a crop is outside. Calls `interpolate` before the first transformation that
/// splits chroma: there libheif 1.19 and later, and therefore pillow_heif, interpolate chroma; elsewhere they repeat it.
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

#endif
