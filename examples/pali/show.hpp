// Pictures in the terminal.
#pragma once

#include <pali/image/image.hpp>

/// Whether standard output is a terminal that shows pictures of some kind.
[[nodiscard]] bool can_show();

/// How much of the terminal's height a picture may take.
enum class picture_room { whole, half };

/// Writes a picture to standard output in the best way the terminal knows: kitty's protocol, sixel, half blocks. Small pictures are shown larger.
void show(const pali::image& picture, picture_room room = picture_room::whole);
