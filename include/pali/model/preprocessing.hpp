// Converts the preprocessor configuration of a checkpoint to the options of preprocess().
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/image/preprocess.hpp>

#include <algorithm>

namespace pali { inline namespace PALI_ABI {

/// The options of preprocess() that `read` describes.
[[nodiscard]] inline preprocessing preprocessing_of(const image_config& read) {
    preprocessing out{.width = read.width,
                      .height = read.height,
                      .resample = static_cast<filter>(read.resample),
                      .do_resize = read.do_resize,
                      .do_rescale = read.do_rescale,
                      .do_normalize = read.do_normalize,
                      .rescale_factor = read.rescale_factor};
    std::copy(read.mean.begin(), read.mean.end(), out.mean.begin());
    std::copy(read.deviation.begin(), read.deviation.end(), out.std.begin());
    return out;
}

}} // namespace pali::PALI_ABI
