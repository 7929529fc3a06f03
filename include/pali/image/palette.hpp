// Label colors that people with any kind of color vision can tell apart.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace pali { inline namespace PALI_ABI {

/// An sRGB color.
struct colour {
    std::uint8_t r = 0; ///< red, 0 to 255
    std::uint8_t g = 0; ///< green, 0 to 255
    std::uint8_t b = 0; ///< blue, 0 to 255

    friend bool operator==(const colour&, const colour&) = default;
};

inline constexpr std::size_t palette_size = 21; ///< number of colors before label_colour() repeats

/// Color of the `index`-th label of an image: orange, sky blue, vermilion, bluish green, reddish purple, yellow and blue, then darker and
/// then lighter shades of these seven; the sequence repeats after palette_size. Source: Okabe and Ito, Color Universal Design (2008),
/// jfly.uni-koeln.de/color, without black, which would vanish on dark images.
[[nodiscard]] inline colour label_colour(std::size_t index) noexcept {
    constexpr colour hues[] = {{230, 159, 0}, {86, 180, 233}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {240, 228, 66}, {0, 114, 178}};
    constexpr std::size_t count = std::size(hues);
    const colour hue = hues[index % count];
    const std::size_t round = index % palette_size / count;
    // Blend factors towards black and white. tests/image/test_draw.cpp verifies that all 21 colors are distinct, also without red or green
    // cones.
    const auto shade = [&](std::uint8_t v) {
        return static_cast<std::uint8_t>(round == 0 ? v : round == 1 ? v * 9 / 20 : 255 - (255 - v) * 3 / 5);
    };
    return {shade(hue.r), shade(hue.g), shade(hue.b)};
}

namespace image_detail {

/// Relative luminance, 0 (black) to 1 (white). Source: WCAG 2.1.
[[nodiscard]] inline double luminance(colour of) noexcept {
    const auto linear = [](std::uint8_t v) {
        const double part = v / 255.0;
        return part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(of.r) + 0.7152 * linear(of.g) + 0.0722 * linear(of.b);
}

/// Contrast ratio, 1 to 21; text should have at least 4.5. Source: WCAG 2.1.
[[nodiscard]] inline double contrast(colour a, colour b) noexcept {
    const double first = luminance(a), second = luminance(b);
    return (std::max(first, second) + 0.05) / (std::min(first, second) + 0.05);
}

/// Black or white, whichever contrasts more with `ground`; the contrast is at least 4.5.
[[nodiscard]] inline colour text_colour(colour ground) noexcept {
    constexpr colour black{}, white{255, 255, 255};
    return contrast(black, ground) >= contrast(white, ground) ? black : white;
}

} // namespace image_detail

}} // namespace pali::PALI_ABI
