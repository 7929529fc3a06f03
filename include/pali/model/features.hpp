// What the decoder sees of a picture.
#pragma once

#include <pali/core/tensor.hpp>

namespace pali::inline PALI_ABI {

/// The tokens of one picture: outputs of vision tower and projector, (tokens, hidden). They do not depend on the prompt: compute them
/// once and ask many times. Plain memory, independent of the model that made it.
struct image_features {
    matrix values;
};

} // namespace pali::inline PALI_ABI
