// Draws results on an image: boxes, masks and labels.
#pragma once

#include <pali/image/box.hpp>
#include <pali/image/image.hpp>
#include <pali/image/mask.hpp>
#include <pali/image/palette.hpp>

#include <filesystem>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// One annotation to draw.
struct mark {
    std::string
        label{}; ///< UTF-8; invalid bytes are drawn as U+FFFD. If empty, the plate shows only the score; without a score, there is no plate
    pali::box where{};                  ///< in image pixels, corners in any order; clipped to the image
    const pali::mask* inside = nullptr; ///< mask of the image's size, or empty; not owned, read during the call
    float score = -1;                   ///< 0 to 1, drawn as a percentage; negative: not drawn
};

/// Style of the marks. Line width and text size scale with the shorter side of the image and have a lower bound that keeps them visible.
struct draw_options {
    float opacity = 0.4f;         ///< of a mask's interior, 0 to 1; a box without a mask is filled with a third of this opacity
    float scale = 1;              ///< factor for line widths and text size, greater than 0, at most 100
    bool scores = true;           ///< draw the score next to the label
    std::filesystem::path font{}; ///< TrueType or OpenType font, preferred to the built-in one (Latin, Greek, Cyrillic). Use only a font
                                  ///< that you trust as much as the program itself: only its tables are validated
};

/// Returns `image` with the marks drawn on it. Marks with the same label share a color; the first label gets label_colour(0). Large marks
/// are drawn first, labels last. Labels stay inside the image and avoid each other where there is room. A label that is too long ends in an
/// ellipsis. Characters that no font has are drawn as a frame. Text is set from left to right, one glyph per code point. The output is
/// deterministic. Throws `invalid_argument` if the image has no pixels, a mask differs in size or an option is out of range; `cannot_open`
/// or `malformed_file` for the font.
[[nodiscard]] image draw(const image& image, std::span<const mark> marks, const draw_options& options = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/drawing.ipp>
#endif
