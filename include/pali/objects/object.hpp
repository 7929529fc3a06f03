// Something that a model pointed at in an image.
#pragma once

#include <pali/image/box.hpp>
#include <pali/image/mask.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI {

/// What `detect` and `segment` give.
struct object {
    std::string label; ///< UTF-8; empty where the model gave none
    float score = 0;   ///< 0 to 1: how sure the model was of box and label, see score_of()
    pali::box box;     ///< pixels of the image
    pali::mask mask{}; ///< of the size of the image; empty where there is none
};

using detection = object; ///< without a mask
using segment = object;   ///< with one, unless the answer broke off before it

}} // namespace pali::PALI_ABI
