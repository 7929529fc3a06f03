// Objects as labelme opens them, to be corrected by hand: a JSON file an image, beside it and of its name.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI {

/// The JSON of labelme 5: a shape "mask" for an object with one - a PNG of the pixels within, cut to where they are, in base64 -, and a
/// "rectangle" for others. Labels are those of category_name(), the score is the description. `image.file` is a path from the JSON file
/// to the image; bytes of it that are no UTF-8 become U+FFFD. All of it is ASCII. Throws `invalid_argument` for a mask of another size
/// than the image, and what encode_png throws.
[[nodiscard]] std::string labelme_text(const image_objects& image);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/labelme.ipp>
#endif
