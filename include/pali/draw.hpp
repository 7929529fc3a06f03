// Umbrella header for showing results: drawings of boxes and masks, image files, and terminal graphics.
#pragma once

#include <pali/image/drawing.hpp>
#include <pali/image/terminal.hpp>
#include <pali/image/write.hpp>
