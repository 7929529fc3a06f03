// Pictures in the terminal.
#pragma once

#include <pali/image/image.hpp>

/// Whether standard output is a terminal that shows pictures of some kind.
[[nodiscard]] bool can_show();

/// Writes a picture to standard output in the best way the terminal knows: kitty's protocol, sixel, half blocks. Small pictures are shown larger.
void show(const pali::image& picture);
