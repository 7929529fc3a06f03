// How a mask is placed in an image.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// How a decoded mask becomes pixels. Both ways are published, and differ by a pixel or two at the edges.
enum class mask_style {
    hard, ///< big_vision's evaluator: corners cut to whole pixels, bilinear, 255 where the value is above 0, else 0
    soft, ///< the Hugging Face Space: corners rounded (half to even), the mask as bytes, bicubic, values between 0 and 255
};

}} // namespace pali::PALI_ABI
