// An image and what was found in it, as the files of results have it.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/object.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// What every format of results is written from. Refers to objects that belong to somebody else.
struct image_objects {
    std::string file;                             ///< the image's name as it is to stand in the results
    std::size_t width = 0, height = 0;            ///< pixels
    std::span<const object> objects;              ///< boxes in those pixels
    std::span<const std::string> mask_files = {}; ///< names of the images that hold their masks, one an object or none at all; "" for none
    std::string text = {};                        ///< what was said besides objects: a caption, an answer
};

}} // namespace pali::PALI_ABI
