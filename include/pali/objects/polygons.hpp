// Traces a mask into polygons along pixel borders, as COCO and YOLO write them.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/image/mask.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Corner of a pixel: (0, 0) is the top left of the image, (width, height) the bottom right.
struct polygon_point {
    std::size_t x = 0; ///< pixels from the left
    std::size_t y = 0; ///< pixels from the top

    friend bool operator==(const polygon_point&, const polygon_point&) = default;
};

/// Closed polygon; the first point is not repeated at the end.
using polygon = std::vector<polygon_point>;

/// Borders of a mask.
struct mask_polygons {
    std::vector<polygon> outlines; ///< one per 4-connected region; clockwise on the screen
    std::vector<polygon> holes;    ///< one per hole in a region; counterclockwise
};

/// Traces the borders between pixels inside and outside the mask. Filling the outlines and clearing the holes reproduces the mask exactly.
/// Vertices are placed only where a border turns. O(pixels).
[[nodiscard]] inline mask_polygons polygons_of(const mask& from) {
    // x - 1 and y - 1 wrap around at 0.
    const auto inside = [&](std::size_t x, std::size_t y) { return x < from.width && y < from.height && from.contains(x, y); };
    std::vector<std::uint8_t> seen(from.values.size()); // pixels whose top edge belongs to a traced border
    mask_polygons found;
    for (std::size_t top = 0; top < from.height; ++top)
        for (std::size_t left = 0; left < from.width; ++left) {
            if (!inside(left, top) || inside(left, top - 1) || seen[top * from.width + left] != 0) continue;
            // Every border has a top edge that is traced to the right, with the inside on the right-hand side.
            enum { to_right, to_bottom, to_left, to_top } heading = to_right;
            polygon line;
            std::size_t x = left, y = top;
            std::int64_t area = 0; // twice the signed area, by the shoelace formula
            do {
                if (heading == to_right) seen[y * from.width + x] = 1;
                const std::size_t from_x = x, from_y = y;
                x = heading == to_right ? x + 1 : heading == to_left ? x - 1 : x;
                y = heading == to_bottom ? y + 1 : heading == to_top ? y - 1 : y;
                area += static_cast<std::int64_t>(from_x) * static_cast<std::int64_t>(y) -
                        static_cast<std::int64_t>(x) * static_cast<std::int64_t>(from_y);
                // The two pixels ahead of the corner (x, y). Turning right if the right one is outside separates pixels that touch only at
                // a corner.
                const bool ahead_right =
                    inside(heading == to_right || heading == to_top ? x : x - 1, heading == to_right || heading == to_bottom ? y : y - 1);
                const bool ahead_left =
                    inside(heading == to_right || heading == to_bottom ? x : x - 1, heading == to_bottom || heading == to_left ? y : y - 1);
                const auto straight = heading;
                if (!ahead_right) heading = static_cast<decltype(heading)>((heading + 1) % 4);
                else if (ahead_left) heading = static_cast<decltype(heading)>((heading + 3) % 4);
                if (heading != straight) line.push_back({x, y});
            } while (x != left || y != top || heading != to_right);
            (area < 0 ? found.holes : found.outlines).push_back(std::move(line));
        }
    return found;
}

/// Joins all outlines and holes into one polygon, for formats with one polygon per object. The parts are connected where they are closest,
/// by two coincident segments. Filling the result by the even-odd rule reproduces the mask. Empty if there are no outlines. O(points
/// squared) if the mask has several parts.
[[nodiscard]] inline polygon joined(const mask_polygons& parts) {
    polygon line;
    const auto join = [&](const polygon& other) {
        if (line.empty()) {
            line = other;
            return;
        }
        std::size_t at = 0, entry = 0, nearest = std::numeric_limits<std::size_t>::max();
        const auto square = [](std::size_t a, std::size_t b) { return (a > b ? a - b : b - a) * (a > b ? a - b : b - a); };
        for (std::size_t i = 0; i < line.size(); ++i)
            for (std::size_t j = 0; j < other.size(); ++j)
                if (const std::size_t distance = square(line[i].x, other[j].x) + square(line[i].y, other[j].y); distance < nearest)
                    nearest = distance, at = i, entry = j;
        polygon path; // from the entry point around `other` and back to it, then back to line[at]
        for (std::size_t j = 0; j <= other.size(); ++j) path.push_back(other[(entry + j) % other.size()]);
        path.push_back(line[at]);
        line.insert(line.begin() + static_cast<std::ptrdiff_t>(at) + 1, path.begin(), path.end());
    };
    for (const polygon& outline : parts.outlines) join(outline);
    for (const polygon& hole : parts.holes) join(hole);
    return line;
}

}} // namespace pali::PALI_ABI
