// Shows images in the terminal.
#pragma once

#include <pali/image/image.hpp>

/// Whether standard output is a terminal that can show images.
[[nodiscard]] bool can_show();

/// Fraction of the terminal height that an image may take.
enum class image_room { whole, half };

/// Writes an image to standard output in the best protocol of the terminal: kitty, sixel, half blocks. Small images are enlarged.
void show(const pali::image& image, image_room room = image_room::whole);
