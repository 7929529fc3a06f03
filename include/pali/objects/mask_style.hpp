// Variants of mask placement in an image.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// How a decoded mask is converted to pixels. Both variants are published; they differ by a pixel or two at the edges.
enum class mask_style {
    hard, ///< big_vision's evaluator: corners truncated to whole pixels, bilinear, thresholded at 0, values 0 and 255
    soft, ///< the Hugging Face Space: corners rounded half to even, mask as bytes, bicubic, values 0 to 255
};

}} // namespace pali::PALI_ABI
