// A rectangle in the pixels of an image.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <ostream>

namespace pali { inline namespace PALI_ABI {

/// From (x0, y0), the top left corner, to (x1, y1), in pixels of the image: x from 0, its left edge, to its width; y from 0, its top, to
/// its height.
struct box {
    float x0 = 0, y0 = 0, x1 = 0, y1 = 0; ///< pixels

    /// Pixels; below 0 where the corners are exchanged.
    [[nodiscard]] float width() const noexcept { return x1 - x0; }
    /// Pixels, as width().
    [[nodiscard]] float height() const noexcept { return y1 - y0; }
    /// Square pixels; 0 where a corner lies on the wrong side.
    [[nodiscard]] float area() const noexcept { return std::max(width(), 0.f) * std::max(height(), 0.f); }

    friend bool operator==(const box&, const box&) = default;
    /// "[x0, y0, x1, y1]"
    friend std::ostream& operator<<(std::ostream& out, const box& b) {
        return out << '[' << b.x0 << ", " << b.y0 << ", " << b.x1 << ", " << b.y1 << ']';
    }
};

/// What two boxes share; of area() 0 where that is nothing.
[[nodiscard]] inline box intersection(const box& a, const box& b) noexcept {
    return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}

/// Intersection over union, 0 to 1; 0 where both are empty.
[[nodiscard]] inline float iou(const box& a, const box& b) noexcept {
    const float shared = intersection(a, b).area(), all = a.area() + b.area() - shared;
    return all > 0 ? shared / all : 0;
}

}} // namespace pali::PALI_ABI
