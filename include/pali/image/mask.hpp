// Per-pixel object mask.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// One value per pixel, row-major from the top left corner: 0 outside, 255 inside. A soft mask also has values in between.
struct mask {
    static constexpr std::uint8_t inside = 128; ///< threshold: values from here up count as inside

    std::size_t width = 0;            ///< in pixels
    std::size_t height = 0;           ///< in pixels
    std::vector<std::uint8_t> values; ///< height * width

    mask() = default;
    /// Creates a mask with every pixel outside.
    mask(std::size_t columns, std::size_t lines) : width(columns), height(lines), values(columns * lines) {}

    /// Whether the mask has no pixels, inside or outside.
    [[nodiscard]] bool empty() const noexcept { return values.empty(); }
    /// Whether the pixel at column x, row y is inside; not bounds-checked.
    [[nodiscard]] bool contains(std::size_t x, std::size_t y) const noexcept { return values[y * width + x] >= inside; }
    /// Number of pixels inside.
    [[nodiscard]] std::size_t area() const noexcept {
        return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [](std::uint8_t v) { return v >= inside; }));
    }

    friend bool operator==(const mask&, const mask&) = default;
};

/// Intersection over union (IoU) of two masks of the same image, 0 to 1; 0 if both are empty or their sizes differ.
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
