// A mask as the mask decoder gives it, 64 x 64 whatever the box, at its place in the image.
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

namespace pali { inline namespace PALI_ABI {

namespace object_detail {

/// Pixels [x0, x1) x [y0, y1) that a mask is stretched over; they may lie outside of the image.
struct pixel_corners {
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0; // whole numbers
};

[[nodiscard]] inline double whole_pixel(double at, mask_style style) noexcept {
    return style == mask_style::hard ? std::trunc(at) : std::nearbyint(at); // the default rounding is half to even, as Python's round()
}

/// The part of one axis that is to be seen: outputs [first, first + count) of `size`, which begin at pixel `at` of the image.
struct axis_part {
    std::size_t size = 0, first = 0, count = 0, at = 0;
};

[[nodiscard]] inline axis_part visible_part(double begin, double end, std::size_t side) noexcept {
    const double low = std::max(begin, 0.0), high = std::min(end, static_cast<double>(side));
    if (!(end > begin) || !(high > low)) return {};
    return {static_cast<std::size_t>(end - begin), static_cast<std::size_t>(low - begin), static_cast<std::size_t>(high - low),
            static_cast<std::size_t>(low)};
}

/// Sums of Pillow for floats (mode F): double products and sums, stored as floats.
struct float_pixels {
    using value = float;
    static float sum(const float* from, std::size_t step, const double* weights, std::size_t count) noexcept {
        double total = 0;
        for (std::size_t i = 0; i < count; ++i) total += kernels::stored(static_cast<double>(from[i * step]) * weights[i]);
        return static_cast<float>(total);
    }
};

/// Sums of Pillow for bytes (mode L): fixed point, clipped.
struct byte_pixels {
    using value = std::uint8_t;
    static std::uint8_t sum(const std::uint8_t* from, std::size_t step, const std::int32_t* weights, std::size_t count) noexcept {
        std::int32_t total = 1 << (kernels::resample_weights::precision - 1);
        for (std::size_t i = 0; i < count; ++i) total += weights[i] * static_cast<std::int32_t>(from[i * step]);
        return kernels::clip_to_byte(total);
    }
};

/// (height, width) values to (height, spans of `weights`).
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

/// (height, width) values to (spans of `weights`, width).
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

/// Both passes, in the order that Pillow 13 takes for this size; see resize().
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample(const std::vector<Value>& from, std::size_t width, const axis_part& x, const axis_part& y,
                                          const Weights& along_x, const Weights& along_y) {
    const std::size_t height = from.size() / width;
    const bool height_first = y.size < height && (x.size >= width || height - y.size > 2 * (width - x.size));
    if (height_first) return resample_x<Pixels>(resample_y<Pixels>(from, width, along_y), width, along_x);
    return resample_y<Pixels>(resample_x<Pixels>(from, width, along_x), x.count, along_y);
}

[[nodiscard]] inline std::vector<std::uint8_t> hard_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::make_exact_resample_weights(in, part.size, 1.0, image_detail::bilinear_weight, part.first, part.count);
    };
    const std::vector<float> from(values.data(), values.data() + values.size());
    const auto sums = resample<float_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
    std::vector<std::uint8_t> made(sums.size());
    std::transform(sums.begin(), sums.end(), made.begin(), [](float v) { return static_cast<std::uint8_t>(v > 0 ? 255 : 0); });
    return made;
}

[[nodiscard]] inline std::vector<std::uint8_t> soft_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::in_fixed_point(
            kernels::make_exact_resample_weights(in, part.size, 2.0, image_detail::bicubic_weight, part.first, part.count));
    };
    std::vector<std::uint8_t> from(values.size());
    std::transform(values.data(), values.data() + values.size(), from.begin(), [](float v) {
        const float share = v * 0.5f + 0.5f;
        return static_cast<std::uint8_t>((share > 0 ? std::min(share, 1.f) : 0.f) * 255.f); // not a number: 0
    });
    return resample<byte_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
}

[[nodiscard]] inline mask place_at(const tensor<2>& values, const pixel_corners& at, std::size_t width, std::size_t height,
                                   mask_style style) {
    constexpr double longest = 1 << 24; // a side over which a mask is stretched: as long as Pillow's images may be here
    if (values.size() == 0) throw error(errc::invalid_argument, "place_mask: the mask has no values; the mask decoder gives (64, 64)");
    if (!(at.x1 - at.x0 <= longest && at.y1 - at.y0 <= longest))
        throw error(errc::invalid_argument,
                    {"place_mask: a box of ", at.x1 - at.x0, " x ", at.y1 - at.y0, " pixels; at most 16777216 a side"});
    mask made(width, height);
    const axis_part x = visible_part(at.x0, at.x1, width), y = visible_part(at.y0, at.y1, height);
    if (x.count == 0 || y.count == 0) return made;
    const auto pixels = style == mask_style::hard ? hard_pixels(values, x, y) : soft_pixels(values, x, y);
    for (std::size_t row = 0; row < y.count; ++row)
        std::copy_n(pixels.data() + row * x.count, x.count, made.values.data() + (y.at + row) * width + x.at);
    return made;
}

} // namespace object_detail

/**
 * A mask of the image from a decoded one.
 *
 * @param values  (64, 64), nominally -1 to 1, above 0 inside: what the mask decoder gives. Other sizes are stretched just as well.
 * @param loc     y0, x0, y1, x1 as said, 0 to 1023; where no whole pixel is left of the box, nothing is inside
 * @param width,height  of the image, pixels
 * @param style   hard equals big_vision's evaluator to the bit, with its `loc_divisor` 1023 too; soft equals the Hugging Face Space's, with
 * 1024
 * @param loc_divisor   what coordinates are divided by, see box_of()
 *
 * Throws `invalid_argument` for a mask without values and a divisor other than 1024 and 1023.
 * @see big_vision evaluators/proj/paligemma/transfers/segmentation.py; huggingface.co/spaces/big-vision/paligemma paligemma_parse.py;
 *      Pillow 13 Resample.c
 */
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const std::array<std::uint16_t, 4>& loc, std::size_t width,
                                     std::size_t height, mask_style style = mask_style::hard, int loc_divisor = 1024) {
    object_detail::check_divisor("place_mask", loc_divisor);
    const auto pixel = [&](std::uint16_t at, std::size_t side) { // divided first: what is cut depends on the rounding
        return object_detail::whole_pixel(static_cast<double>(at) / loc_divisor * static_cast<double>(side), style);
    };
    return object_detail::place_at(values, {pixel(loc[1], width), pixel(loc[0], height), pixel(loc[3], width), pixel(loc[2], height)},
                                   width, height, style);
}

/// The same at a box in pixels, which may reach out of the image: what lies outside is left out. Throws `invalid_argument` for a mask
/// without values, and a box over 2^24 pixels a side or of numbers that are not finite.
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const box& where, std::size_t width, std::size_t height,
                                     mask_style style = mask_style::hard) {
    const auto pixel = [&](float at) { return object_detail::whole_pixel(static_cast<double>(at), style); };
    return object_detail::place_at(values, {pixel(where.x0), pixel(where.y0), pixel(where.x1), pixel(where.y1)}, width, height, style);
}

}} // namespace pali::PALI_ABI
