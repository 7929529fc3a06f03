// Implementation of drawing.hpp: placement and drawing order.
#pragma once

#include <pali/core/error.hpp>
#include <pali/image/drawing.hpp>
#include <pali/image/impl/brush.ipp>
#include <pali/image/impl/lettering.ipp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

namespace image_detail {

/// Line widths and text size for one image, in pixels.
struct sizes {
    sizes(const image& image, float scale) {
        const float side = static_cast<float>(std::min(image.width, image.height));
        // Roboto's capitals are 0.711 em high. Capitals are sharper with a whole number of pixels and hard to read below 7 pixels.
        const float capitals = std::max(1.f, std::round(std::max(7.f, side / 45) * scale));
        em = capitals / 0.711f;
        outline = std::max(1, static_cast<int>(std::lround(side / 220 * scale)));
        rim = std::max(1, outline / 3);
    }

    float em = 0;
    int outline = 0; ///< thickness of boxes and contours
    int rim = 0;     ///< thickness of the dark rim that separates a line from a background of the same color
};

inline constexpr int rim_alpha = 80; // of 255; chosen by eye: visible on a light background, but not like a black frame on a dark one

/// A mark with its computed position and color.
struct placed_mark {
    const mark* what = nullptr;
    colour paint{};
    std::optional<area> box{}; ///< outer edge of its outline
    area inside{};             ///< bounding rectangle of its mask
    double order = 0;          ///< sort key: large marks first
};

/// Outline of a box in whole pixels, its line centered on the edge and clamped to the image; empty if the box lies outside.
[[nodiscard]] PALI_INLINE std::optional<area> outline_of(const box& b, const image& image, int thickness) {
    const area all = area_of(image);
    if (std::isnan(b.x0) || std::isnan(b.y0) || std::isnan(b.x1) || std::isnan(b.y1)) return {};
    const auto [left, right] = std::minmax(b.x0, b.x1);
    const auto [top, bottom] = std::minmax(b.y0, b.y1);
    if (left > static_cast<float>(all.x1) || right < 0 || top > static_cast<float>(all.y1) || bottom < 0) return {};
    const auto span = [&](float low, float high, int end) {
        const int from = static_cast<int>(std::lround(std::clamp(low, 0.f, static_cast<float>(end)))) - thickness / 2;
        const int to = static_cast<int>(std::lround(std::clamp(high, 0.f, static_cast<float>(end)))) + thickness / 2;
        const int first = std::clamp(from, 0, std::max(end - thickness, 0));
        return std::pair(first, std::clamp(to, std::min(first + thickness, end), end));
    };
    const auto [x0, x1] = span(left, right, all.x1);
    const auto [y0, y1] = span(top, bottom, all.y1);
    return area{x0, y0, x1, y1};
}

[[nodiscard]] PALI_INLINE std::vector<placed_mark> place(const image& image, std::span<const mark> marks, const sizes& size) {
    std::vector<std::string_view> labels;
    std::vector<placed_mark> placed;
    for (const mark& m : marks) {
        const auto known = std::find(labels.begin(), labels.end(), m.label);
        const auto index = static_cast<std::size_t>(known - labels.begin());
        if (known == labels.end()) labels.push_back(m.label);
        placed_mark made{.what = &m, .paint = label_colour(index), .box = outline_of(m.where, image, size.outline)};
        if (m.inside != nullptr && !m.inside->empty()) {
            if (m.inside->width != image.width || m.inside->height != image.height || m.inside->values.size() != image.width * image.height)
                throw error(errc::invalid_argument, {"draw: a mask of ", m.inside->width, " x ", m.inside->height, " for an image of ",
                                                     image.width, " x ", image.height});
            made.inside = bounds_of(*m.inside);
        }
        made.order = static_cast<double>(made.box ? made.box->pixels() : made.inside.pixels());
        placed.push_back(made);
    }
    std::sort(placed.begin(), placed.end(),
              [](const placed_mark& a, const placed_mark& b) { return a.order != b.order ? a.order > b.order : a.what < b.what; });
    return placed;
}

/// Returns the position of a label plate for the area `about`: above, inside or below it. Chooses the first candidate that covers no other
/// plate, otherwise the one that covers the least of them.
[[nodiscard]] PALI_INLINE area place_plate(const area& about, int width, int height, const area& image, const std::vector<area>& others) {
    area best{};
    long long least = -1;
    const auto offer = [&](int x, int y) { // returns true if the position is free
        x = std::clamp(x, image.x0, image.x1 - width);
        if (y < image.y0 || y + height > image.y1) return false;
        const area plate{x, y, x + width, y + height};
        long long covered = 0;
        for (const area& other : others) covered += (plate & other).pixels();
        if (least < 0 || covered < least) best = plate, least = covered;
        return least == 0;
    };
    const int right = about.x1 - width;
    if (offer(about.x0, about.y0 - height) || offer(about.x0, about.y0) || offer(about.x0, about.y1) || offer(right, about.y0 - height) ||
        offer(right, about.y0) || offer(right, about.y1))
        return best;
    for (int y = about.y0 + height; y + height <= about.y1; y += height)
        if (offer(about.x0, y)) return best;
    for (int step = 1; step <= 2; ++step) // farther away, the label would seem to belong to another mark
        if (offer(about.x0, about.y1 + step * height) || offer(about.x0, about.y0 - (step + 1) * height)) return best;
    if (least < 0)
        offer(about.x0,
              std::clamp(about.y0 - height, image.y0, image.y1 - height)); // the image is not high enough for a candidate above or below
    return best;
}

[[nodiscard]] PALI_INLINE std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blank);
    return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

#if PALI_WITH_STB_TRUETYPE
/// Sets a label and its score within `room` pixels; the label is shortened first.
[[nodiscard]] PALI_INLINE line label_of(const mark& m, bool scores, const lettering& letters, float room) {
    const std::string_view label = trimmed(m.label);
    std::string score;
    if (scores && m.score >= 0) score = std::to_string(std::lround(std::min(m.score, 1.f) * 100)) + "%";
    if (score.empty()) return letters.fit(label, room);
    const line percent = letters.set((label.empty() ? "" : " ") + score, room);
    if (percent.cut) return letters.fit(label, room);
    line made = letters.fit(label, room - percent.width);
    if (made.letters.empty() && !label.empty()) return letters.set(score, room);
    letters.append(made, percent);
    return made;
}

PALI_INLINE void draw_labels(image& on, const std::vector<placed_mark>& placed, const sizes& size, const draw_options& options) {
    lettering letters(size.em);
    if (!options.font.empty()) letters.add(read_font(options.font), options.font.string());
    letters.add(built_in_font(), "the built-in font");
    const area all = area_of(on);
    const int beside = std::max(2, static_cast<int>(std::lround(size.em * 0.3f))), height = letters.ascent() + letters.descent() + size.rim;
    const int room = all.width() - 2 * beside;
    if (room <= 0 || height > all.height()) return;

    std::vector<area> plates;
    std::vector<std::pair<const placed_mark*, line>> texts;
    for (const placed_mark& m : placed) {
        if (!m.box && m.inside.empty()) continue;
        line text = label_of(*m.what, options.scores, letters, static_cast<float>(room));
        if (text.letters.empty()) continue;
        const int width = std::min(static_cast<int>(std::ceil(text.width)), room) + 2 * beside;
        plates.push_back(place_plate(m.box ? *m.box : m.inside, width, height, all, plates));
        texts.emplace_back(&m, std::move(text));
    }
    for (std::size_t i = 0; i < plates.size(); ++i) {
        const area& plate = plates[i];
        const colour paint = texts[i].first->paint;
        fill(on, plate, paint, 255);
        letters.draw(on, texts[i].second, static_cast<float>(plate.x0 + beside), plate.y0 + letters.ascent(), plate, text_colour(paint));
    }
}
#else
PALI_INLINE void draw_labels(image&, const std::vector<placed_mark>& placed, const sizes&, const draw_options&) {
    if (!placed.empty()) throw error(errc::cannot_write, "draw: this build of pali lacks stb_truetype.h, which drawing labels needs");
}
#endif

} // namespace image_detail

PALI_INLINE image draw(const image& image, std::span<const mark> marks, const draw_options& options) {
    using namespace image_detail;
    constexpr std::size_t most = std::size_t{1} << 24; // same limit as resize
    if (image.width == 0 || image.height == 0 || image.width > most || image.height > most ||
        image.pixels.size() != image.width * image.height * 3)
        throw error(errc::invalid_argument, {"draw: an image of ", image.width, " x ", image.height, " with ", image.pixels.size(),
                                             " bytes; it needs at least one pixel and 3 bytes per pixel"});
    if (!(options.opacity >= 0 && options.opacity <= 1) || !(options.scale > 0 && options.scale <= 100))
        throw error(errc::invalid_argument, {"draw: opacity is ", options.opacity, " and scale is ", options.scale,
                                             "; opacity must be 0 to 1, scale above 0 and at most 100"});
    const sizes size(image, options.scale);
    const std::vector<image_detail::placed_mark> placed = image_detail::place(image, marks, size);
    pali::image made = image;
    for (const image_detail::placed_mark& m : placed) {
        if (!m.inside.empty()) image_detail::fill(made, *m.what->inside, m.paint, options.opacity);
        else if (m.box) image_detail::fill(made, m.box->grown(-size.outline), m.paint, image_detail::level(options.opacity / 3));
    }
    for (const image_detail::placed_mark& m : placed) {
        const bool has_mask = !m.inside.empty();
        if (m.box) { // a box that has a mask gets a thinner line
            const int thickness = has_mask ? std::max(1, size.outline / 2) : size.outline;
            image_detail::frame(made, m.box->grown(size.rim), size.rim, {}, rim_alpha);
            image_detail::frame(made, *m.box, thickness, m.paint, 255);
            image_detail::frame(made, m.box->grown(-thickness), size.rim, {}, rim_alpha);
        }
        if (has_mask) {
            const float half = std::max(static_cast<float>(size.outline), 1.5f) / 2; // thinner lines between two pixels would look pale
            const float rim = static_cast<float>(size.rim);
            const image_detail::contour edge(*m.what->inside, m.inside, size.outline / 2 + size.rim + 2);
            edge.stroke(made, half, half + rim, {}, static_cast<float>(rim_alpha) / 255);
            edge.stroke(made, 0, half, m.paint, 1);
        }
    }
    image_detail::draw_labels(made, placed, size, options);
    return made;
}

}} // namespace pali::PALI_ABI
