// Axis-aligned bounding box in image pixels.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <ostream>

namespace pali { inline namespace PALI_ABI {

/// Bounding box from the top left corner (x0, y0) to the bottom right corner (x1, y1), in image pixels. x runs from 0 (left edge) to the
/// image width, y from 0 (top edge) to the image height.
struct box {
    float x0 = 0; ///< left edge, in pixels
    float y0 = 0; ///< top edge, in pixels
    float x1 = 0; ///< right edge, in pixels
    float y1 = 0; ///< bottom edge, in pixels

    /// Width in pixels; negative if the corners are swapped.
    [[nodiscard]] float width() const noexcept { return x1 - x0; }
    /// Height in pixels; negative if the corners are swapped.
    [[nodiscard]] float height() const noexcept { return y1 - y0; }
    /// Area in square pixels; 0 if the corners are swapped on either axis.
    [[nodiscard]] float area() const noexcept { return std::max(width(), 0.f) * std::max(height(), 0.f); }

    friend bool operator==(const box&, const box&) = default;
    /// Prints "[x0, y0, x1, y1]".
    friend std::ostream& operator<<(std::ostream& out, const box& b) {
        return out << '[' << b.x0 << ", " << b.y0 << ", " << b.x1 << ", " << b.y1 << ']';
    }
};

/// Intersection of two boxes; its area() is 0 if they do not overlap.
[[nodiscard]] inline box intersection(const box& a, const box& b) noexcept {
    return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}

/// Intersection over union (IoU), 0 to 1; 0 if both boxes are empty.
[[nodiscard]] inline float iou(const box& a, const box& b) noexcept {
    const float shared = intersection(a, b).area(), all = a.area() + b.area() - shared;
    return all > 0 ? shared / all : 0;
}

}} // namespace pali::PALI_ABI
