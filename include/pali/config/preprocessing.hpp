// Configuration of image preprocessing: the contents of preprocessor_config.json, which preprocess() applies.
#pragma once

#include <pali/core/macros.hpp>

#include <array>
#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Resampling filter. The values are Pillow's, and therefore those of `resample` in preprocessor_config.json.
enum class filter : int { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

/// Contents of preprocessor_config.json, or of `image_processor` in processor_config.json. The defaults are PaliGemma's: 224 x 224 pixels,
/// bicubic, output in [-1, 1]. The steps are applied in the order resize, rescale, normalize.
struct preprocessing {
    std::size_t width = 224;                      ///< target width in pixels
    std::size_t height = 224;                     ///< target height in pixels
    filter resample = filter::bicubic;            ///< resize filter
    bool do_resize = true;                        ///< if false, the image must already have the target size
    bool do_rescale = true;                       ///< multiply by rescale_factor
    bool do_normalize = true;                     ///< subtract mean, divide by std
    double rescale_factor = 1.0 / 255.0;          ///< factor for each byte
    std::array<double, 3> mean = {0.5, 0.5, 0.5}; ///< red, green, blue; in rescaled units
    std::array<double, 3> std = {0.5, 0.5, 0.5};  ///< red, green, blue; in rescaled units; not 0
};

}} // namespace pali::PALI_ABI
