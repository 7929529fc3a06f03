// RGB image, 8 bits per channel.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// RGB image, 8 bits per channel, row-major from the top left corner, without padding.
struct image {
    std::size_t width = 0;            ///< in pixels
    std::size_t height = 0;           ///< in pixels
    std::vector<std::uint8_t> pixels; ///< R, G, B interleaved; height * width * 3 bytes

    image() = default;
    /// Creates a black image.
    image(std::size_t columns, std::size_t lines) : width(columns), height(lines), pixels(columns * lines * 3) {}

    /// Pointer to the three channels of the pixel at column x, row y; not bounds-checked.
    [[nodiscard]] std::uint8_t* at(std::size_t x, std::size_t y) noexcept { return pixels.data() + (y * width + x) * 3; }
    /// Read-only overload.
    [[nodiscard]] const std::uint8_t* at(std::size_t x, std::size_t y) const noexcept { return pixels.data() + (y * width + x) * 3; }

    friend bool operator==(const image&, const image&) = default;
};

}} // namespace pali::PALI_ABI
