// Options and limits for reading an image, such as the largest number of pixels.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Options and limits for reading an image. The limits are checked against the image header, before pixel memory is allocated.
struct read_options {
    bool keep_exif_orientation = false; ///< keeps JPEG, PNG and WebP as stored instead of applying the orientation in their metadata
    std::size_t max_side = 65500;       ///< in pixels; the default is the largest side a JPEG can have
    std::size_t max_pixels = 178956970; ///< the default is the limit above which Pillow warns of a decompression bomb
    /// Called with one sentence if the image was read but may not look as intended, because 16-bit gray was clipped to white. May be empty.
    std::function<void(std::string_view)> on_warning = {};
};

}} // namespace pali::PALI_ABI
