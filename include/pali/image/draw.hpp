// Images of results: boxes, masks and labels drawn over an image.
#pragma once

#include <pali/image/box.hpp>
#include <pali/image/image.hpp>
#include <pali/image/mask.hpp>
#include <pali/image/palette.hpp>

#include <filesystem>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// One thing to point at.
struct mark {
    std::string label{};                ///< UTF-8; bytes that are not are shown as U+FFFD. Empty: only the score, or no plate
    pali::box where{};                  ///< pixels of the image; corners in any order; what lies outside of the image is left out
    const pali::mask* inside = nullptr; ///< of the size of the image, or empty; not owned, read during the call
    float score = -1;                   ///< 0 to 1, shown as a percentage; below 0: not shown
};

/// How marks look. Lines and text follow the smaller side of the image, and are never too small to be seen.
struct draw_options {
    float opacity = 0.4f;         ///< of a mask's inside, 0 to 1; a box without a mask is filled at a third of it
    float scale = 1;              ///< of line widths and text, over 0 to 100
    bool scores = true;           ///< show scores beside labels
    std::filesystem::path font{}; ///< TrueType or OpenType; its letters go before the built-in Latin, Greek and Cyrillic ones. Trusted:
                                  ///< name only fonts as safe as the program itself, for they are checked no further than their tables
};

/// `image` with the marks on it. Marks of one label share a colour, label_colour(0) being that of the first. Small things lie over large
/// ones and labels over all; these keep inside of the image and, where there is room, off each other. A label that is too long ends in an
/// ellipsis; letters that no font has are shown as a frame; text is set from left to right, one letter after the other. Same input, same
/// bytes. Throws `invalid_argument` for an image without pixels, a mask of another size or an option out of its range, `cannot_open` and
/// `malformed_file` for the font.
[[nodiscard]] image draw(const image& image, std::span<const mark> marks, const draw_options& options = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/draw.ipp>
#endif
