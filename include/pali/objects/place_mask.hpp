// Places a decoded 64 x 64 mask in the image.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/tensor.hpp>
#include <pali/image/box.hpp>
#include <pali/image/mask.hpp>
#include <pali/image/resize.hpp>
#include <pali/kernels/image/resample_weights.hpp>
#include <pali/objects/location_box.hpp>
#include <pali/objects/mask_style.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Target rectangle [x0, x1) x [y0, y1) of a mask; may extend beyond the image.
struct pixel_corners {
    double x0 = 0; ///< integer
    double y0 = 0; ///< integer
    double x1 = 0; ///< integer
    double y1 = 0; ///< integer
};

/// Rounds a corner to a pixel as the style does.
[[nodiscard]] inline double whole_pixel(double at, mask_style style) noexcept {
    return style == mask_style::hard ? std::trunc(at)
                                     : std::nearbyint(at); // the default rounding mode is half to even, like Python's round()
}

/// One axis of a mask that is scaled to `size` pixels. Its pixels [first, first + count) are visible and start at pixel `at` of the image.
struct axis_part {
    std::size_t size = 0;  ///< pixels of the scaled mask
    std::size_t first = 0; ///< first visible pixel of the mask
    std::size_t count = 0; ///< number of visible pixels
    std::size_t at = 0;    ///< where they start in the image
};

/// The part of [begin, end) that lies within an image side of `side` pixels; empty if there is none.
[[nodiscard]] inline axis_part visible_part(double begin, double end, std::size_t side) noexcept {
    const double low = std::max(begin, 0.0), high = std::min(end, static_cast<double>(side));
    if (!(end > begin) || !(high > low)) return {};
    return {static_cast<std::size_t>(end - begin), static_cast<std::size_t>(low - begin), static_cast<std::size_t>(high - low),
            static_cast<std::size_t>(low)};
}

/// Pillow's arithmetic for float images (mode F): products and sums in double, stored as float.
struct float_pixels {
    using value = float; ///< type of a pixel
    /// Weighted sum of `count` pixels, `step` apart.
    static float sum(const float* from, std::size_t step, const double* weights, std::size_t count) noexcept {
        double total = 0;
        for (std::size_t i = 0; i < count; ++i) total += kernels::stored(static_cast<double>(from[i * step]) * weights[i]);
        return static_cast<float>(total);
    }
};

/// Pillow's arithmetic for byte images (mode L): fixed point, clipped.
struct byte_pixels {
    using value = std::uint8_t; ///< type of a pixel
    /// Weighted sum of `count` pixels, `step` apart; the weights are in fixed point.
    static std::uint8_t sum(const std::uint8_t* from, std::size_t step, const std::int32_t* weights, std::size_t count) noexcept {
        std::int32_t total = 1 << (kernels::resample_weights::precision - 1);
        for (std::size_t i = 0; i < count; ++i) total += weights[i] * static_cast<std::int32_t>(from[i * step]);
        return kernels::clip_to_byte(total);
    }
};

/// Resamples rows: (height, width) -> (height, number of spans of `weights`).
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample_x(const std::vector<Value>& from, std::size_t width, const Weights& weights) {
    std::vector<Value> made;
    made.reserve(from.size() / width * weights.spans.size());
    for (std::size_t row = 0; row < from.size(); row += width)
        for (std::size_t x = 0; x < weights.spans.size(); ++x)
            made.push_back(Pixels::sum(from.data() + row + weights.spans[x].first, 1, weights.weights.data() + x * weights.taps,
                                       weights.spans[x].count));
    return made;
}

/// Resamples columns: (height, width) -> (number of spans of `weights`, width).
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample_y(const std::vector<Value>& from, std::size_t width, const Weights& weights) {
    std::vector<Value> made;
    made.reserve(weights.spans.size() * width);
    for (std::size_t y = 0; y < weights.spans.size(); ++y)
        for (std::size_t x = 0; x < width; ++x)
            made.push_back(Pixels::sum(from.data() + weights.spans[y].first * width + x, width, weights.weights.data() + y * weights.taps,
                                       weights.spans[y].count));
    return made;
}

/// Runs both passes, in the order that Pillow 13 chooses for this size; see resize().
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample(const std::vector<Value>& from, std::size_t width, const axis_part& x, const axis_part& y,
                                          const Weights& along_x, const Weights& along_y) {
    const std::size_t height = from.size() / width;
    const bool height_first = y.size < height && (x.size >= width || height - y.size > 2 * (width - x.size));
    if (height_first) return resample_x<Pixels>(resample_y<Pixels>(from, width, along_y), width, along_x);
    return resample_y<Pixels>(resample_x<Pixels>(from, width, along_x), x.count, along_y);
}

/// The visible pixels of a mask of logits, 0 or 255: scaled bilinearly, then compared with 0.
[[nodiscard]] inline std::vector<std::uint8_t> hard_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::make_exact_resample_weights(in, part.size, 1.0, bilinear_weight, part.first, part.count);
    };
    const std::vector<float> from(values.data(), values.data() + values.size());
    const auto sums = resample<float_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
    std::vector<std::uint8_t> made(sums.size());
    std::transform(sums.begin(), sums.end(), made.begin(), [](float v) { return static_cast<std::uint8_t>(v > 0 ? 255 : 0); });
    return made;
}

/// The visible pixels of a mask of values from -1 to 1, 0 to 255: converted to bytes, then scaled bicubically.
[[nodiscard]] inline std::vector<std::uint8_t> soft_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::in_fixed_point(kernels::make_exact_resample_weights(in, part.size, 2.0, bicubic_weight, part.first, part.count));
    };
    std::vector<std::uint8_t> from(values.size());
    std::transform(values.data(), values.data() + values.size(), from.begin(), [](float v) {
        const float share = v * 0.5f + 0.5f;
        return static_cast<std::uint8_t>((share > 0 ? std::min(share, 1.f) : 0.f) * 255.f); // NaN becomes 0
    });
    return resample<byte_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
}

/// Scales the mask to the rectangle `at` of an image of width x height pixels; what lies outside is cut off.
[[nodiscard]] inline mask place_at(const tensor<2>& values, const pixel_corners& at, std::size_t width, std::size_t height,
                                   mask_style style) {
    constexpr double longest = 1 << 24; // maximum side of a stretched mask, the same limit as in resize()
    if (values.size() == 0) throw error(errc::invalid_argument, "place_mask: the mask is empty; the mask decoder returns (64, 64)");
    if (!(at.x1 - at.x0 <= longest && at.y1 - at.y0 <= longest))
        throw error(errc::invalid_argument,
                    {"place_mask: a box of ", at.x1 - at.x0, " x ", at.y1 - at.y0, " pixels; a side may have at most 16777216"});
    mask made(width, height);
    const axis_part x = visible_part(at.x0, at.x1, width), y = visible_part(at.y0, at.y1, height);
    if (x.count == 0 || y.count == 0) return made;
    const auto pixels = style == mask_style::hard ? hard_pixels(values, x, y) : soft_pixels(values, x, y);
    for (std::size_t row = 0; row < y.count; ++row)
        std::copy_n(pixels.data() + row * x.count, x.count, made.values.data() + (y.at + row) * width + x.at);
    return made;
}

/**
 * Scales a decoded mask to its box and places it in a mask of the image's size.
 *
 * @param values  (64, 64), nominally -1 to 1, above 0 is inside: the output of the mask decoder. Other sizes work too.
 * @param loc     y0, x0, y1, x1 as generated, 0 to 1023; if the box contains no whole pixel, the mask is empty
 * @param width,height  of the image, in pixels
 * @param style   hard is bit-exact with big_vision's evaluator if `loc_divisor` is 1023 as there; soft is bit-exact with the Hugging Face
 *                Space, with 1024
 * @param loc_divisor   divisor of the coordinates, see box_of()
 *
 * Throws `invalid_argument` if `values` is empty or the divisor is neither 1024 nor 1023.
 * @see big_vision evaluators/proj/paligemma/transfers/segmentation.py; huggingface.co/spaces/big-vision/paligemma paligemma_parse.py;
 *      Pillow 13 Resample.c
 */
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const std::array<std::uint16_t, 4>& loc, std::size_t width,
                                     std::size_t height, mask_style style = mask_style::hard, int loc_divisor = 1024) {
    check_divisor("place_mask", loc_divisor);
    const auto pixel = [&](std::uint16_t at, std::size_t side) { // divides before multiplying: the rounding can change the truncated result
        return whole_pixel(static_cast<double>(at) / loc_divisor * static_cast<double>(side), style);
    };
    return place_at(values, {pixel(loc[1], width), pixel(loc[0], height), pixel(loc[3], width), pixel(loc[2], height)}, width, height,
                    style);
}

/// Places a mask at a box in pixels, clipped to the image. Throws `invalid_argument` if `values` is empty, if the box is not finite, or if
/// a side of it is longer than 2^24 pixels.
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const box& where, std::size_t width, std::size_t height,
                                     mask_style style = mask_style::hard) {
    const auto pixel = [&](float at) { return whole_pixel(static_cast<double>(at), style); };
    return place_at(values, {pixel(where.x0), pixel(where.y0), pixel(where.x1), pixel(where.y1)}, width, height, style);
}

}}} // namespace pali::PALI_ABI::objects
