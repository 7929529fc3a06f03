// Image preprocessing for the vision tower: resize, rescale, normalize, convert to planar (CHW) floats.
#pragma once

#include <pali/config/preprocessing.hpp>
#include <pali/core/tensor.hpp>
#include <pali/image/image.hpp>
#include <pali/image/resize.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace image_detail { inline namespace PALI_SIMD {

/// Writes (3, height, width) f32: (x * rescale_factor - mean) / std of the resized image. Rounds as the transformers processor does: the
/// product is computed in double and rounded to float, the rest is float arithmetic. Throws `invalid_argument` if do_resize is off and the
/// image is not width x height, if a std is zero, or if a mean or std is not finite. Also throws what resize() throws.
inline void preprocess(const image& from, const preprocessing& how, float* pixel_values) {
    image resized;
    if (how.do_resize) resized = resize(from, how.width, how.height, how.resample);
    const image& use = how.do_resize ? resized : from;
    if (use.width != how.width || use.height != how.height || use.pixels.size() != use.width * use.height * 3)
        throw error(errc::invalid_argument, {"preprocess: the image is ", use.width, " x ", use.height, ", the model needs ", how.width,
                                             " x ", how.height, ", and do_resize is off"});
    // Lookup table: a byte has only 256 values.
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t c = 0; c < 3; ++c) {
        const auto mean = static_cast<float>(how.mean[c]), std = static_cast<float>(how.std[c]);
        if (how.do_normalize && (std == 0.f || !std::isfinite(std) || !std::isfinite(mean)))
            throw error(errc::invalid_argument,
                        {"preprocess: mean ", mean, " and std ", std, " of channel ", c, "; both must be finite, and std must not be 0"});
        for (std::size_t value = 0; value < 256; ++value) {
            const auto byte = static_cast<double>(value);
            const auto scaled = static_cast<float>(how.do_rescale ? byte * how.rescale_factor : byte);
            table[c][value] = how.do_normalize ? (scaled - mean) / std : scaled;
        }
    }
    const std::size_t plane = use.width * use.height;
    for (std::size_t i = 0; i < plane; ++i)
        for (std::size_t c = 0; c < 3; ++c) pixel_values[c * plane + i] = table[c][use.pixels[3 * i + c]];
}

/// Returns the pixel values as a new tensor (3, height, width).
[[nodiscard]] inline tensor<3> preprocess(const image& from, const preprocessing& how = {}) {
    tensor<3> made(std::array<std::size_t, 3>{3, how.height, how.width});
    preprocess(from, how, made.data());
    return made;
}

}}}} // namespace pali::PALI_ABI::image_detail::PALI_SIMD
