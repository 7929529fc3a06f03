// Features of an encoded image.
#pragma once

#include <pali/core/tensor.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// The image tokens of one image, that is, the output of vision tower and projector. They do not depend on the prompt, so an image can be
/// encoded once and used with many prompts. The object owns its memory and does not depend on the lifetime of the model.
struct image_features {
    matrix values;          ///< (tokens, hidden)
    std::size_t width = 0;  ///< width of the original image, pixels; boxes are scaled to it
    std::size_t height = 0; ///< height of the original image, pixels
};

}} // namespace pali::PALI_ABI
