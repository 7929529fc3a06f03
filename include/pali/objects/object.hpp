// An object detected in an image.
#pragma once

#include <pali/image/box.hpp>
#include <pali/image/mask.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI {

/// Result of `detect` and `segment`.
struct object {
    std::string label; ///< UTF-8; empty if the model gave none
    float score = 0;   ///< 0 to 1: confidence in box and label, see score_of()
    pali::box box;     ///< in image pixels
    pali::mask mask{}; ///< of the image's size; empty if there is none
};

using detection = object; ///< without a mask
using segment = object;   ///< with a mask, unless the answer ended before the mask codes

}} // namespace pali::PALI_ABI
