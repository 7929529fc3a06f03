// An image: red, green and blue bytes.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// An RGB image of 8 bits a channel, row by row from the top left, without padding.
struct image {
    std::size_t width = 0;            ///< pixels
    std::size_t height = 0;           ///< pixels
    std::vector<std::uint8_t> pixels; ///< height * width * 3

    image() = default;
    /// A black image.
    image(std::size_t columns, std::size_t lines) : width(columns), height(lines), pixels(columns * lines * 3) {}

    /// The three channels of the pixel at column x of row y; not checked.
    [[nodiscard]] std::uint8_t* at(std::size_t x, std::size_t y) noexcept { return pixels.data() + (y * width + x) * 3; }
    /// The same, to read.
    [[nodiscard]] const std::uint8_t* at(std::size_t x, std::size_t y) const noexcept { return pixels.data() + (y * width + x) * 3; }

    friend bool operator==(const image&, const image&) = default;
};

}} // namespace pali::PALI_ABI
