// Renders images as terminal output.
#pragma once

#include <pali/image/image.hpp>
#include <pali/image/terminal_graphics.hpp>

#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Space available for an image in a terminal.
struct terminal_size {
    std::size_t columns = 80;     ///< in characters, 1 to 1000
    std::size_t rows = 24;        ///< in characters, 1 to 1000
    std::size_t cell_width = 8;   ///< width of a character cell in pixels, 1 to 100
    std::size_t cell_height = 16; ///< height of a character cell in pixels, 1 to 100
};

/// Encodes the image for the given terminal protocol. Write the text at the start of a line; it ends with a line break. The image keeps its
/// aspect ratio, is shrunk to fit into `size` and is never enlarged. The text contains only the pixels and no metadata. Throws
/// `invalid_argument` if the image has no pixels or `size` is out of range; for kitty also whatever encode_png throws.
[[nodiscard]] std::string to_terminal(const image& image, terminal_graphics graphics, const terminal_size& size = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/terminal.ipp>
#endif
