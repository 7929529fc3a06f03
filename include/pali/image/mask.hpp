// Which pixels of an image belong to something.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// A value a pixel, row by row from the top left: 0 outside, 255 inside; a soft mask has values between.
struct mask {
    static constexpr std::uint8_t inside = 128; ///< from this value on a pixel counts as one of the mask's

    std::size_t width = 0;            ///< pixels
    std::size_t height = 0;           ///< pixels
    std::vector<std::uint8_t> values; ///< height * width

    mask() = default;
    /// Nothing is inside.
    mask(std::size_t columns, std::size_t lines) : width(columns), height(lines), values(columns * lines) {}

    /// Whether it has no pixels at all.
    [[nodiscard]] bool empty() const noexcept { return values.empty(); }
    /// Whether the pixel at column x of row y is inside; not checked.
    [[nodiscard]] bool contains(std::size_t x, std::size_t y) const noexcept { return values[y * width + x] >= inside; }
    /// Pixels inside.
    [[nodiscard]] std::size_t area() const noexcept {
        return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [](std::uint8_t v) { return v >= inside; }));
    }

    friend bool operator==(const mask&, const mask&) = default;
};

/// Intersection over union of two masks of the same image, 0 to 1; 0 where both are empty or their sizes differ.
[[nodiscard]] inline float iou(const mask& a, const mask& b) noexcept {
    if (a.width != b.width || a.height != b.height) return 0;
    std::size_t shared = 0, all = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const bool in_a = a.values[i] >= mask::inside, in_b = b.values[i] >= mask::inside;
        shared += in_a && in_b;
        all += in_a || in_b;
    }
    return all > 0 ? static_cast<float>(static_cast<double>(shared) / static_cast<double>(all)) : 0;
}

}} // namespace pali::PALI_ABI
