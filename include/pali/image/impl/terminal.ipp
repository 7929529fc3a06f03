// Implementation of terminal.hpp.
#pragma once

#include <pali/core/error.hpp>
#include <pali/image/impl/base64.ipp>
#include <pali/image/impl/sixel.ipp>
#include <pali/image/palette.hpp>
#include <pali/image/resize.hpp>
#include <pali/image/terminal.hpp>
#include <pali/image/write.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace pali { inline namespace PALI_ABI {

namespace image_detail {

/// Shrinks `from` to at most width x height pixels. Each pixel of the result is `stretch` times as high as wide.
[[nodiscard]] PALI_INLINE image fitted(const image& from, double width, double height, double stretch) {
    const double across = static_cast<double>(from.width), down = static_cast<double>(from.height) / stretch;
    const double scale = std::min({1.0, width / across, height / down});
    const auto side = [&](double of, double most) { return static_cast<std::size_t>(std::clamp(of * scale + 0.5, 1.0, most)); };
    return resize(from, side(across, width), side(down, height), filter::lanczos);
}

/// Encodes the image as PNG in chunks. It is shown `columns` characters wide; the height follows from the aspect ratio.
[[nodiscard]] PALI_INLINE std::string to_kitty(const image& image, std::size_t columns) {
    constexpr std::size_t most = 4096; // base64 digits per chunk
    const std::string data = base64(encode_png(image));
    std::string made;
    for (std::size_t at = 0; at < data.size(); at += most) {
        made += at == 0 ? "\x1b_Ga=T,f=100,q=2,c=" + std::to_string(columns) + ','
                        : "\x1b_Gq=2,"; // q=2 suppresses the reply, which would look like typed input
        made += at + most < data.size() ? "m=1;" : "m=0;";
        made.append(data, at, most);
        made += "\x1b\\";
    }
    return made + '\n';
}

/// The nearest of the 256 xterm colors: in the 6 x 6 x 6 cube (16 to 231) or among the 24 grays (232 to 255). The first 16 are
/// user-defined.
[[nodiscard]] PALI_INLINE int xterm_colour(colour of) noexcept {
    constexpr int steps[] = {0, 95, 135, 175, 215, 255};
    const auto nearest = [&](int v) {
        int best = 0;
        for (int i = 1; i < 6; ++i)
            if (std::abs(steps[i] - v) < std::abs(steps[best] - v)) best = i;
        return best;
    };
    const int r = nearest(of.r), g = nearest(of.g), b = nearest(of.b);
    const int grey = std::clamp(((of.r + of.g + of.b) / 3 - 8 + 5) / 10, 0, 23), level = 8 + 10 * grey;
    const auto distance = [&](int to_r, int to_g, int to_b) {
        return (to_r - of.r) * (to_r - of.r) + (to_g - of.g) * (to_g - of.g) + (to_b - of.b) * (to_b - of.b);
    };
    return distance(level, level, level) < distance(steps[r], steps[g], steps[b]) ? 232 + grey : 16 + 36 * r + 6 * g + b;
}

/// Draws each character as an upper half block: foreground is the upper pixel, background the lower one.
[[nodiscard]] PALI_INLINE std::string to_half_blocks(const image& image, bool is_256) {
    const auto code = [&](std::size_t x, std::size_t y) {
        const std::uint8_t* p = image.at(x, y);
        if (is_256) return "5;" + std::to_string(xterm_colour({p[0], p[1], p[2]}));
        return "2;" + std::to_string(p[0]) + ';' + std::to_string(p[1]) + ';' + std::to_string(p[2]);
    };
    std::string made;
    for (std::size_t y = 0; y < image.height; y += 2) {
        std::string upper, lower; // current foreground and background
        for (std::size_t x = 0; x < image.width; ++x) {
            if (std::string next = code(x, y); next != upper) made += "\x1b[38;" + next + 'm', upper = std::move(next);
            if (y + 1 < image.height)
                if (std::string next = code(x, y + 1); next != lower) made += "\x1b[48;" + next + 'm', lower = std::move(next);
            made += "\xE2\x96\x80"; // U+2580
        }
        made += "\x1b[0m\n";
    }
    return made;
}

} // namespace image_detail

PALI_INLINE std::string to_terminal(const image& image, terminal_graphics graphics, const terminal_size& size) {
    const auto between = [](std::size_t v, std::size_t most) { return v >= 1 && v <= most; };
    if (image.width == 0 || image.height == 0 || image.pixels.size() != image.width * image.height * 3 || !between(size.columns, 1000) ||
        !between(size.rows, 1000) || !between(size.cell_width, 100) || !between(size.cell_height, 100))
        throw error(errc::invalid_argument,
                    {"to_terminal: an image of ", image.width, " x ", image.height, " (", image.pixels.size(), " bytes) in ", size.columns,
                     " x ", size.rows, " characters of ", size.cell_width, " x ", size.cell_height,
                     " pixels; at least one pixel, 1 to 1000 characters a side and 1 to 100 pixels a character are needed"});
    const auto number = [](std::size_t v) { return static_cast<double>(v); };
    if (graphics == terminal_graphics::half_blocks || graphics == terminal_graphics::half_blocks_256) {
        const double stretch = number(size.cell_height) / 2 / number(size.cell_width);
        return image_detail::to_half_blocks(image_detail::fitted(image, number(size.columns), number(size.rows * 2), stretch),
                                            graphics == terminal_graphics::half_blocks_256);
    }
    const pali::image shown = image_detail::fitted(image, number(size.columns * size.cell_width), number(size.rows * size.cell_height), 1);
    if (graphics == terminal_graphics::kitty) return image_detail::to_kitty(shown, (shown.width + size.cell_width - 1) / size.cell_width);
    return image_detail::to_sixel(shown) + '\n';
}

}} // namespace pali::PALI_ABI
