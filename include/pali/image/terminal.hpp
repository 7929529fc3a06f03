// Images as text that a terminal shows.
#pragma once

#include <pali/image/image.hpp>
#include <pali/image/terminal_graphics.hpp>

#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// The room for an image.
struct terminal_size {
    std::size_t columns = 80;     ///< characters, 1 to 1000
    std::size_t rows = 24;        ///< characters, 1 to 1000
    std::size_t cell_width = 8;   ///< pixels of a character, 1 to 100
    std::size_t cell_height = 16; ///< pixels of a character, 1 to 100
};

/// The image in the terminal's own language, ready to be written from the beginning of a line; it ends with a line break. It keeps its
/// aspect ratio and fits into `size`; it is made smaller where it must be, and never larger. Nothing but pixels gets into the text. Throws
/// `invalid_argument` for an image without pixels or a size out of its range, and for kitty what encode_png throws.
[[nodiscard]] std::string to_terminal(const image& image, terminal_graphics graphics, const terminal_size& size = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/terminal.ipp>
#endif
