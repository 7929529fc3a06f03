// What the decoder sees of an image.
#pragma once

#include <pali/core/tensor.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// The tokens of one image: outputs of vision tower and projector, (tokens, hidden). They do not depend on the prompt: compute them
/// once and ask many times. Plain memory, independent of the model that made it.
struct image_features {
    matrix values;                     ///< (tokens, hidden)
    std::size_t width = 0, height = 0; ///< of the image that it was made of, pixels: what boxes are placed in
};

}} // namespace pali::PALI_ABI
