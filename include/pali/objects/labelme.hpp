// Writes objects for manual correction in labelme, which expects one JSON file per image, in the same folder and with the same name.
#pragma once

#include <pali/objects/image_objects.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI {

/// JSON of labelme 5. An object with a mask becomes a "mask" shape (a base64 PNG, cropped to the pixels inside), any other a "rectangle".
/// Labels are those of category_name(); the score is the description. `image.file` is the path from the JSON file to the image; invalid
/// UTF-8 in it becomes U+FFFD. The output is ASCII. Throws `invalid_argument` if a mask differs in size from the image, and whatever
/// encode_png throws.
[[nodiscard]] std::string labelme_text(const image_objects& image);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/impl/labelme.ipp>
#endif
