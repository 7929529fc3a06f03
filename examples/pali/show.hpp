// Images in the terminal.
#pragma once

#include <pali/image/image.hpp>

/// Whether standard output is a terminal that shows images of some kind.
[[nodiscard]] bool can_show();

/// How much of the terminal's height an image may take.
enum class image_room { whole, half };

/// Writes an image to standard output in the best way the terminal knows: kitty's protocol, sixel, half blocks. Small images are shown
/// larger.
void show(const pali::image& image, image_room room = image_room::whole);
