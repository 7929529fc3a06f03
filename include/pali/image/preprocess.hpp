// From an image to what the vision tower takes: resized, rescaled, normalised, channel by channel.
#pragma once

#include <pali/core/tensor.hpp>
#include <pali/image/image.hpp>
#include <pali/image/resize.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// What preprocessor_config.json says. The defaults are PaliGemma's: 224 pixels, bicubic, [-1, 1].
struct preprocessing {
    std::size_t width = 224;                      ///< pixels
    std::size_t height = 224;                     ///< pixels
    filter resample = filter::bicubic;            ///< of resizing
    bool do_resize = true;                        ///< else the image has to be of that size
    bool do_rescale = true;                       ///< by rescale_factor
    bool do_normalize = true;                     ///< by mean and std
    double rescale_factor = 1.0 / 255.0;          ///< times each byte
    std::array<double, 3> mean = {0.5, 0.5, 0.5}; ///< red, green, blue, of rescaled values
    std::array<double, 3> std = {0.5, 0.5, 0.5};  ///< the same; not 0
};

inline namespace PALI_SIMD {

/// Writes (3, height, width) floats: (x * rescale_factor - mean) / std of the resized image. The rounding is that of transformers'
/// processor: the product in double and rounded to float, the rest in float. Throws `invalid_argument` when do_resize is off and the
/// image is not width x height, when a std is zero, and as resize does.
inline void preprocess(const image& from, const preprocessing& how, float* pixel_values) {
    image resized;
    if (how.do_resize) resized = resize(from, how.width, how.height, how.resample);
    const image& use = how.do_resize ? resized : from;
    if (use.width != how.width || use.height != how.height || use.pixels.size() != use.width * use.height * 3)
        throw error(errc::invalid_argument, {"preprocess: the image is ", use.width, " x ", use.height, ", the model takes ", how.width,
                                             " x ", how.height, ", and do_resize is off"});
    // A byte has 256 values: each is worked out once.
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t c = 0; c < 3; ++c) {
        const auto mean = static_cast<float>(how.mean[c]), std = static_cast<float>(how.std[c]);
        if (how.do_normalize && (std == 0.f || !std::isfinite(std) || !std::isfinite(mean)))
            throw error(errc::invalid_argument,
                        {"preprocess: mean ", mean, " and std ", std, " of channel ", c, "; both must be finite, and std not zero"});
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

/// The same as a tensor of its own, (3, height, width).
[[nodiscard]] inline tensor<3> preprocess(const image& from, const preprocessing& how = {}) {
    tensor<3> made(std::array<std::size_t, 3>{3, how.height, how.width});
    preprocess(from, how, made.data());
    return made;
}

} // namespace PALI_SIMD

}} // namespace pali::PALI_ABI
