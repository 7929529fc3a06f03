// Drawing primitives: filled areas, frames, masks and mask contours.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/image/image.hpp>
#include <pali/image/mask.hpp>
#include <pali/image/palette.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Half-open pixel rectangle [x0, x1) x [y0, y1).
struct area {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;

    [[nodiscard]] int width() const noexcept { return x1 - x0; }
    [[nodiscard]] int height() const noexcept { return y1 - y0; }
    [[nodiscard]] bool empty() const noexcept { return x1 <= x0 || y1 <= y0; }
    [[nodiscard]] long long pixels() const noexcept { return empty() ? 0 : static_cast<long long>(width()) * height(); }
    [[nodiscard]] area grown(int by) const noexcept { return {x0 - by, y0 - by, x1 + by, y1 + by}; }
    friend area operator&(const area& a, const area& b) noexcept {
        return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
    }
};

[[nodiscard]] PALI_INLINE area area_of(const image& image) noexcept {
    return {0, 0, static_cast<int>(image.width), static_cast<int>(image.height)};
}

[[nodiscard]] inline int level(float alpha) noexcept { return static_cast<int>(std::lround(std::clamp(alpha, 0.f, 1.f) * 255)); }

/// Blends `paint` onto one pixel; `alpha` is 0 (transparent) to 255 (opaque).
inline void blend(image& on, int x, int y, colour paint, int alpha) noexcept {
    std::uint8_t* pixel = on.at(static_cast<std::size_t>(x), static_cast<std::size_t>(y));
    const auto mix = [&](std::uint8_t below, std::uint8_t above) {
        return static_cast<std::uint8_t>((below * (255 - alpha) + above * alpha + 127) / 255);
    };
    pixel[0] = mix(pixel[0], paint.r);
    pixel[1] = mix(pixel[1], paint.g);
    pixel[2] = mix(pixel[2], paint.b);
}

PALI_INLINE void fill(image& on, const area& where, colour paint, int alpha) {
    const area part = where & area_of(on);
    for (int y = part.y0; y < part.y1; ++y)
        for (int x = part.x0; x < part.x1; ++x) blend(on, x, y, paint, alpha);
}

/// Fills the pixels of `outer` within `thickness` of its edge.
PALI_INLINE void frame(image& on, const area& outer, int thickness, colour paint, int alpha) {
    if (outer.width() <= 2 * thickness || outer.height() <= 2 * thickness) return fill(on, outer, paint, alpha);
    const area inner = outer.grown(-thickness);
    fill(on, {outer.x0, outer.y0, outer.x1, inner.y0}, paint, alpha);
    fill(on, {outer.x0, inner.y1, outer.x1, outer.y1}, paint, alpha);
    fill(on, {outer.x0, inner.y0, inner.x0, inner.y1}, paint, alpha);
    fill(on, {inner.x1, inner.y0, outer.x1, inner.y1}, paint, alpha);
}

/// Bounding rectangle of the pixels inside the mask.
[[nodiscard]] PALI_INLINE area bounds_of(const mask& of) {
    area found{static_cast<int>(of.width), static_cast<int>(of.height), 0, 0};
    for (std::size_t y = 0; y < of.height; ++y) {
        const auto row = of.values.begin() + static_cast<std::ptrdiff_t>(y * of.width), end = row + static_cast<std::ptrdiff_t>(of.width);
        const auto is_inside = [](std::uint8_t v) { return v >= mask::inside; };
        const auto first = std::find_if(row, end, is_inside);
        if (first == end) continue;
        const auto last = std::find_if(std::make_reverse_iterator(end), std::make_reverse_iterator(row), is_inside).base();
        found = {std::min(found.x0, static_cast<int>(first - row)), std::min(found.y0, static_cast<int>(y)),
                 std::max(found.x1, static_cast<int>(last - row)), static_cast<int>(y) + 1};
    }
    return found;
}

/// Blends `paint` through the mask; its values scale the opacity.
PALI_INLINE void fill(image& on, const mask& where, colour paint, float opacity) {
    int levels[256];
    for (int v = 0; v < 256; ++v) levels[v] = level(opacity * static_cast<float>(v) / 255);
    for (int y = 0; y < static_cast<int>(where.height); ++y)
        for (int x = 0; x < static_cast<int>(where.width); ++x)
            if (const int alpha = levels[where.values[static_cast<std::size_t>(y) * where.width + static_cast<std::size_t>(x)]]; alpha != 0)
                blend(on, x, y, paint, alpha);
}

/// Distance map of the pixels near the edge of a mask.
class contour {
public:
    /// The edge is where the mask, interpolated linearly between pixel centers, crosses the inside threshold. Distances are computed up to
    /// `reach` pixels.
    contour(const mask& of, const area& bounds, int reach)
        : m_mask(of), m_reach(reach),
          m_area(bounds.grown(reach + 2) & area{0, 0, static_cast<int>(of.width), static_cast<int>(of.height)}) {
        if (bounds.empty()) return;
        m_distances.assign(static_cast<std::size_t>(m_area.pixels()), nowhere);
        for (int y = bounds.y0 - 1; y < bounds.y1; ++y)
            for (int x = bounds.x0 - 1; x < bounds.x1; ++x) add_cell(x, y);
    }

    /// Draws the band between `from` and `to` pixels from the edge, antialiased on both sides.
    void stroke(image& on, float from, float to, colour paint, float opacity) const {
        if (m_distances.empty()) return;
        for (int y = m_area.y0; y < m_area.y1; ++y)
            for (int x = m_area.x0; x < m_area.x1; ++x) {
                const float away = m_distances[index(x, y)];
                if (away >= to + 0.5f) continue;
                const float cover = std::clamp(to + 0.5f - away, 0.f, 1.f) - (from > 0 ? std::clamp(from + 0.5f - away, 0.f, 1.f) : 0.f);
                blend(on, x, y, paint, level(opacity * cover));
            }
    }

private:
    static constexpr float nowhere = 1e9f;
    static constexpr float edge = static_cast<float>(mask::inside) - 0.5f;

    struct point {
        float x, y;
    };

    [[nodiscard]] std::size_t index(int x, int y) const noexcept {
        return static_cast<std::size_t>(y - m_area.y0) * static_cast<std::size_t>(m_area.width()) + static_cast<std::size_t>(x - m_area.x0);
    }

    [[nodiscard]] float value(int x, int y) const noexcept { // pixels beyond the image are outside
        if (x < 0 || y < 0 || x >= static_cast<int>(m_mask.width) || y >= static_cast<int>(m_mask.height)) return 0;
        return m_mask.values[static_cast<std::size_t>(y) * m_mask.width + static_cast<std::size_t>(x)];
    }

    /// One marching-squares cell: the edge between the centers of the pixels (x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1).
    void add_cell(int x, int y) {
        const float corner[4] = {value(x, y), value(x + 1, y), value(x + 1, y + 1), value(x, y + 1)};
        constexpr float at_x[4] = {0, 1, 1, 0}, at_y[4] = {0, 0, 1, 1};
        point crossed[4];
        std::size_t count = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t next = (i + 1) % 4;
            if ((corner[i] > edge) == (corner[next] > edge)) continue;
            const float t = (edge - corner[i]) / (corner[next] - corner[i]);
            crossed[count++] = {static_cast<float>(x) + at_x[i] + t * (at_x[next] - at_x[i]),
                                static_cast<float>(y) + at_y[i] + t * (at_y[next] - at_y[i])};
        }
        for (std::size_t i = 0; i + 1 < count; i += 2) add_segment(crossed[i], crossed[i + 1]);
    }

    void add_segment(point a, point b) {
        const auto before = [](float u, float v) { return static_cast<int>(std::floor(std::min(u, v))); };
        const auto after = [](float u, float v) { return static_cast<int>(std::ceil(std::max(u, v))) + 1; };
        const area around = area{before(a.x, b.x), before(a.y, b.y), after(a.x, b.x), after(a.y, b.y)}.grown(m_reach) & m_area;
        const float dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
        for (int y = around.y0; y < around.y1; ++y)
            for (int x = around.x0; x < around.x1; ++x) {
                const float px = static_cast<float>(x) - a.x, py = static_cast<float>(y) - a.y;
                const float t = length > 0 ? std::clamp((px * dx + py * dy) / length, 0.f, 1.f) : 0.f;
                const float away = std::hypot(px - t * dx, py - t * dy);
                float& least = m_distances[index(x, y)];
                least = std::min(least, away);
            }
    }

    const mask& m_mask;
    int m_reach;
    area m_area;
    std::vector<float> m_distances;
};

}}} // namespace pali::PALI_ABI::image_detail
