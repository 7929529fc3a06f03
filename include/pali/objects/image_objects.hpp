// An image and its detected objects, as input for the result writers.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/object.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Input of every result format. Does not own the objects.
struct image_objects {
    std::string file;                             ///< name of the image in the results
    std::size_t width = 0;                        ///< in pixels
    std::size_t height = 0;                       ///< in pixels
    std::span<const object> objects;              ///< boxes are in pixels of this image
    std::span<const std::string> mask_files = {}; ///< file names of the masks: one per object ("" if it has none), or an empty span
    std::string text = {};                        ///< answer text outside of objects: a caption, an answer
};

}} // namespace pali::PALI_ABI
