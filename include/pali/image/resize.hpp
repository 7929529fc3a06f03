// Image resizing for 8-bit RGB, bit-exact with Pillow, for any scale factor.
#pragma once

#include <pali/config/preprocessing.hpp>
#include <pali/core/error.hpp>
#include <pali/image/image.hpp>
#include <pali/kernels/entry_points.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

inline constexpr double pi = 3.14159265358979323846;

// Filter kernels of Pillow's Resample.c. stored() prevents contraction to a fused multiply-add, which would round differently.
inline double box_weight(double x) noexcept { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

inline double bilinear_weight(double x) noexcept {
    x = std::abs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

inline double hamming_weight(double x) noexcept {
    x = std::abs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x = kernels::stored(x * pi);
    // In Pillow, these two constants are floats.
    return std::sin(x) / x * (static_cast<double>(0.54f) + kernels::stored(static_cast<double>(0.46f) * std::cos(x)));
}

inline double bicubic_weight(double x) noexcept { // a = -0.5
    x = std::abs(x);
    if (x < 1.0) return kernels::stored(kernels::stored((kernels::stored(1.5 * x) - 2.5) * x) * x) + 1.0;
    if (x < 2.0) return (kernels::stored((kernels::stored((x - 5.0) * x) + 8.0) * x) - 4.0) * -0.5;
    return 0.0;
}

inline double sinc(double x) noexcept {
    if (x == 0.0) return 1.0;
    x = kernels::stored(x * pi);
    return std::sin(x) / x;
}

inline double lanczos_weight(double x) noexcept { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

[[nodiscard]] inline kernels::resample_weights weights_of(filter kind, std::size_t in, std::size_t out) {
    switch (kind) {
    case filter::box:
        return kernels::make_resample_weights(in, out, 0.5, box_weight);
    case filter::bilinear:
        return kernels::make_resample_weights(in, out, 1.0, bilinear_weight);
    case filter::hamming:
        return kernels::make_resample_weights(in, out, 1.0, hamming_weight);
    case filter::bicubic:
        return kernels::make_resample_weights(in, out, 2.0, bicubic_weight);
    case filter::lanczos:
        return kernels::make_resample_weights(in, out, 3.0, lanczos_weight);
    case filter::nearest:
        break;
    }
    throw error(errc::invalid_argument, {"resize: filter ", static_cast<int>(kind),
                                         " is not one of 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box), 5 (hamming)"});
}

// Source positions are accumulated, not multiplied, to reproduce Pillow's rounding (ImagingScaleAffine in Geometry.c).
[[nodiscard]] inline std::vector<std::size_t> nearest_positions(std::size_t in, std::size_t out) {
    const double step = static_cast<double>(in) / static_cast<double>(out);
    std::vector<std::size_t> positions(out);
    double at = kernels::stored(step * 0.5);
    for (std::size_t& position : positions) {
        position = static_cast<std::size_t>(at);
        at += step;
    }
    return positions;
}

[[nodiscard]] inline image resize_nearest(const image& from, std::size_t width, std::size_t height) {
    const auto columns = nearest_positions(from.width, width);
    const auto rows = nearest_positions(from.height, height);
    image made(width, height);
    for (std::size_t y = 0; y < height; ++y) {
        if (rows[y] >= from.height) continue; // the position was rounded past the edge: the row is black, as in Pillow
        for (std::size_t x = 0; x < width; ++x)
            if (columns[x] < from.width) std::memcpy(made.at(x, y), from.at(columns[x], rows[y]), 3);
    }
    return made;
}

inline namespace PALI_SIMD {

/// Resamples rows [first, first + count) of the image to another width.
[[nodiscard]] inline image resize_width(const image& from, std::size_t width, filter kind, std::size_t first, std::size_t count) {
    const kernels::rgb_weights weights(weights_of(kind, from.width, width));
    image made(width, count);
    std::vector<std::uint8_t> row(from.width * 3 + kernels::resample_padding);
    for (std::size_t y = 0; y < count; ++y) {
        std::memcpy(row.data(), from.at(0, first + y), from.width * 3);
        kernels::active().resample_row(row.data(), weights.spans(), weights.count(), weights.weights(), weights.stride(), made.at(0, y));
    }
    return made;
}

/// Resamples the image to the height for which `weights` were computed. Row 0 of `from` is row `first` of the source to which the weights
/// refer.
[[nodiscard]] inline image resize_height(const image& from, const kernels::resample_weights& weights, std::size_t first) {
    image made(from.width, weights.spans.size());
    for (std::size_t y = 0; y < made.height; ++y)
        kernels::active().resample_columns(from.at(0, weights.spans[y].first - first), from.width * 3,
                                           weights.weights.data() + y * weights.taps, weights.spans[y].count, made.at(0, y),
                                           from.width * 3);
    return made;
}

/// Resizes `from` to width x height pixels without keeping the aspect ratio. Bit-exact with `Image.resize((width, height), filter)` of
/// Pillow 13. Throws `invalid_argument` if either image has no pixels, a side exceeds 2^24, or the filter is unknown.
[[nodiscard]] inline image resize(const image& from, std::size_t width, std::size_t height, filter kind = filter::bicubic) {
    constexpr std::size_t most = std::size_t{1} << 24;
    if (width == 0 || height == 0 || width > most || height > most || from.width == 0 || from.height == 0 || from.width > most ||
        from.height > most || from.pixels.size() != from.width * from.height * 3)
        throw error(errc::invalid_argument, {"resize: from ", from.width, " x ", from.height, " (", from.pixels.size(), " bytes) to ",
                                             width, " x ", height, "; sides must be 1 to 16777216, and bytes must be width * height * 3"});
    if (width == from.width && height == from.height) return from;
    if (kind == filter::nearest) return resize_nearest(from, width, height);
    if (height == from.height) return resize_width(from, width, kind, 0, height);
    const auto weights = weights_of(kind, from.height, height);
    if (width == from.width) return resize_height(from, weights, 0);

    // There are two passes with an 8-bit intermediate image, so their order affects the result. Pillow 13 resizes the height first if it
    // shrinks by more than twice as many pixels as the width; earlier releases always resize the width first and may differ by one level.
    const bool height_first = height < from.height && (width >= from.width || from.height - height > 2 * (from.width - width));
    if (height_first) return resize_width(resize_height(from, weights, 0), width, kind, 0, height);
    const std::size_t first = weights.spans.front().first; // skips rows that no output row needs
    const std::size_t last = weights.spans.back().first + weights.spans.back().count;
    return resize_height(resize_width(from, width, kind, first, last - first), weights, first);
}

} // namespace PALI_SIMD

}}} // namespace pali::PALI_ABI::image_detail
