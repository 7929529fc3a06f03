// Sixel encoder. An image is written in bands of six rows, and each band once per color that occurs in it. Source: DEC STD 070, VT330/VT340
// Programmer Reference.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/image/image.hpp>
#include <pali/image/palette.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Sixel colors are percentages. percent_of() returns the nearest percentage, and level_of() the level to which a terminal converts it.
[[nodiscard]] inline int percent_of(int level) noexcept { return (level * 100 + 127) / 255; }
[[nodiscard]] inline int level_of(int percent) noexcept { return (percent * 255 + 50) / 100; }

/// A color and its pixel count.
struct counted_colour {
    std::array<std::uint8_t, 3> channels{};
    std::size_t count = 0;
};

/// Histogram of an image after rounding to sixel colors.
[[nodiscard]] PALI_INLINE std::vector<counted_colour> colours_of(const image& image) {
    std::vector<std::uint32_t> all(image.width * image.height);
    const auto shown = [](std::uint8_t v) { return static_cast<std::uint32_t>(level_of(percent_of(v))); };
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::uint8_t* p = image.pixels.data() + i * 3;
        all[i] = shown(p[0]) << 16 | shown(p[1]) << 8 | shown(p[2]);
    }
    std::sort(all.begin(), all.end());
    std::vector<counted_colour> made;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i == 0 || all[i] != all[i - 1])
            made.push_back(
                {{static_cast<std::uint8_t>(all[i] >> 16), static_cast<std::uint8_t>(all[i] >> 8), static_cast<std::uint8_t>(all[i])}, 0});
        ++made.back().count;
    }
    return made;
}

/// Reduces the colors to at most `most`, by median cut (Heckbert 1982): splits the group with the largest pixels * spread at the median of
/// its widest channel. If there are few enough colors, all are kept.
[[nodiscard]] PALI_INLINE std::vector<colour> median_cut(std::vector<counted_colour> colours, std::size_t most) {
    struct group {
        std::size_t first, last; // range in `colours`
        std::size_t channel = 0;
        double weight = 0; // 0: cannot be split
    };
    const auto measured = [&](std::size_t first, std::size_t last) {
        group made{.first = first, .last = last};
        std::size_t pixels = 0;
        int widest = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            int low = 255, high = 0;
            for (std::size_t i = first; i < last; ++i) {
                low = std::min<int>(low, colours[i].channels[c]);
                high = std::max<int>(high, colours[i].channels[c]);
            }
            if (high - low > widest) widest = high - low, made.channel = c;
        }
        for (std::size_t i = first; i < last; ++i) pixels += colours[i].count;
        made.weight = static_cast<double>(pixels) * widest;
        return made;
    };
    std::vector<group> groups{measured(0, colours.size())};
    while (groups.size() < most) {
        const auto next =
            std::max_element(groups.begin(), groups.end(), [](const group& a, const group& b) { return a.weight < b.weight; });
        if (next->weight == 0) break;
        const group from = *next;
        std::array<std::size_t, 256> pixels{};
        std::size_t all = 0;
        int high = 0;
        for (std::size_t i = from.first; i < from.last; ++i) {
            pixels[colours[i].channels[from.channel]] += colours[i].count;
            all += colours[i].count;
            high = std::max<int>(high, colours[i].channels[from.channel]);
        }
        int median = 0; // last value of the lower half; the upper half has at least one value
        for (std::size_t below = pixels[0]; (below * 2 < all && median + 1 < high) || below == 0;)
            below += pixels[static_cast<std::size_t>(++median)];
        const auto begin = colours.begin() + static_cast<std::ptrdiff_t>(from.first),
                   end = colours.begin() + static_cast<std::ptrdiff_t>(from.last);
        const auto middle = std::partition(begin, end, [&](const counted_colour& c) { return c.channels[from.channel] <= median; });
        const std::size_t cut = static_cast<std::size_t>(middle - colours.begin());
        *next = measured(from.first, cut);
        groups.push_back(measured(cut, from.last));
    }
    std::vector<colour> made;
    for (const group& g : groups) {
        std::array<std::size_t, 3> sums{};
        std::size_t pixels = 0;
        for (std::size_t i = g.first; i < g.last; ++i) {
            for (std::size_t c = 0; c < 3; ++c) sums[c] += colours[i].channels[c] * colours[i].count;
            pixels += colours[i].count;
        }
        const auto mean = [&](std::size_t c) {
            return static_cast<std::uint8_t>(level_of(percent_of(static_cast<int>((sums[c] + pixels / 2) / pixels))));
        };
        made.push_back({mean(0), mean(1), mean(2)});
    }
    return made;
}

/// Palette index of each pixel, with error diffusion (Floyd and Steinberg 1976).
[[nodiscard]] PALI_INLINE std::vector<std::uint8_t> dither(const image& image, const std::vector<colour>& palette, bool is_complete) {
    // Cache keyed by the upper six bits of each channel; not used if the palette holds every color of the image, so that matches are exact.
    std::vector<std::int16_t> known(std::size_t{1} << 18, -1);
    const auto nearest = [&](const std::array<int, 3>& c) {
        const std::size_t key = static_cast<std::size_t>(c[0] >> 2 << 12 | c[1] >> 2 << 6 | c[2] >> 2);
        if (!is_complete && known[key] >= 0) return static_cast<std::size_t>(known[key]);
        std::size_t best = 0;
        int least = 1 << 30;
        for (std::size_t i = 0; i < palette.size() && least != 0; ++i) {
            const int r = palette[i].r - c[0], g = palette[i].g - c[1], b = palette[i].b - c[2];
            if (const int distance = 2 * r * r + 4 * g * g + b * b; distance < least) best = i, least = distance;
        }
        known[key] = static_cast<std::int16_t>(best);
        return best;
    };
    const std::size_t row = (image.width + 2) * 3;
    std::vector<int> errors(row), below(row); // in sixteenths of a level: this row and the next
    std::vector<std::uint8_t> made(image.width * image.height);
    for (std::size_t y = 0; y < image.height; ++y) {
        std::fill(below.begin(), below.end(), 0);
        for (std::size_t x = 0; x < image.width; ++x) {
            std::array<int, 3> want{};
            for (std::size_t c = 0; c < 3; ++c) {
                const int level = level_of(percent_of(image.at(x, y)[c])); // representable colors cause no error
                want[c] = std::clamp(level + errors[(x + 1) * 3 + c] / 16, 0, 255);
            }
            const std::size_t index = nearest(want);
            made[y * image.width + x] = static_cast<std::uint8_t>(index);
            const int got[3] = {palette[index].r, palette[index].g, palette[index].b};
            for (std::size_t c = 0; c < 3; ++c) {
                const int off = want[c] - got[c];
                errors[(x + 2) * 3 + c] += off * 7;
                below[x * 3 + c] += off * 3;
                below[(x + 1) * 3 + c] += off * 5;
                below[(x + 2) * 3 + c] += off;
            }
        }
        errors.swap(below);
    }
    return made;
}

/// Appends the same six-pixel column `count` times, run-length encoded.
PALI_INLINE void append_run(std::string& to, unsigned bits, std::size_t count) {
    const char c = static_cast<char>('?' + bits);
    if (count > 3) to += '!' + std::to_string(count) + c;
    else to.append(count, c);
}

[[nodiscard]] PALI_INLINE std::string to_sixel(const image& image) {
    std::vector<counted_colour> colours = colours_of(image);
    const bool is_complete = colours.size() <= 256;
    const std::vector<colour> palette = median_cut(std::move(colours), 256);
    const std::vector<std::uint8_t> indices = dither(image, palette, is_complete);
    const std::size_t width = image.width;
    std::string made = "\x1bP0;1q\"1;1;" + std::to_string(width) + ';' + std::to_string(image.height); // square pixels, no background
    for (std::size_t i = 0; i < palette.size(); ++i)
        made += '#' + std::to_string(i) + ";2;" + std::to_string(percent_of(palette[i].r)) + ';' +
                std::to_string(percent_of(palette[i].g)) + ';' + std::to_string(percent_of(palette[i].b));
    std::vector<std::uint8_t> bits(palette.size() * width); // one band: six pixels per byte, by color and column
    for (std::size_t top = 0; top < image.height; top += 6) {
        std::array<bool, 256> used{};
        const std::size_t rows = std::min<std::size_t>(6, image.height - top);
        for (std::size_t y = 0; y < rows; ++y)
            for (std::size_t x = 0; x < width; ++x) {
                const std::uint8_t index = indices[(top + y) * width + x];
                used[index] = true;
                bits[index * width + x] = static_cast<std::uint8_t>(bits[index * width + x] | 1u << y);
            }
        bool is_first = true;
        for (std::size_t i = 0; i < palette.size(); ++i) {
            if (!used[i]) continue;
            if (!is_first) made += '$'; // back to the start of the band
            is_first = false;
            made += '#' + std::to_string(i);
            std::uint8_t* band = bits.data() + i * width;
            std::size_t end = width;
            while (band[end - 1] == 0) --end; // at least one column is set
            for (std::size_t x = 0, next = 0; x < end; x = next) {
                for (next = x + 1; next < end && band[next] == band[x];) ++next;
                append_run(made, band[x], next - x);
            }
            std::fill(band, band + width, std::uint8_t{0});
        }
        made += '-';
    }
    return made + "\x1b\\";
}

}}} // namespace pali::PALI_ABI::image_detail
