// Drawing marks: shapes, positions and colors. All other pixels must be unchanged.
#include "goldens.hpp"

#include "../support/temporary_folder.hpp"

#include <pali/image/drawing.hpp>
#include <pali/image/impl/font_data.ipp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

using namespace pali::test;
using pali::errc;
using pali::image;
using pali::mark;

BOOST_AUTO_TEST_SUITE(image_draw)

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
constexpr pali::box nowhere{nan, nan, nan, nan};

/// Bounding box of the pixels in which two images differ: [x0, x1) x [y0, y1).
struct difference {
    std::size_t x0 = std::numeric_limits<std::size_t>::max(), y0 = x0, x1 = 0, y1 = 0, count = 0;
    std::size_t width() const { return count == 0 ? 0 : x1 - x0; }
    std::size_t height() const { return count == 0 ? 0 : y1 - y0; }
};

difference difference_of(const image& a, const image& b) {
    difference found;
    for (std::size_t y = 0; y < a.height; ++y)
        for (std::size_t x = 0; x < a.width; ++x)
            if (!std::equal(a.at(x, y), a.at(x, y) + 3, b.at(x, y))) {
                found = {std::min(found.x0, x), std::min(found.y0, y), std::max(found.x1, x + 1), std::max(found.y1, y + 1),
                         found.count + 1};
            }
    return found;
}

pali::colour colour_at(const image& p, std::size_t x, std::size_t y) { return {p.at(x, y)[0], p.at(x, y)[1], p.at(x, y)[2]}; }

pali::image grey(std::size_t width, std::size_t height, std::uint8_t level = 128) {
    pali::image made(width, height);
    std::fill(made.pixels.begin(), made.pixels.end(), level);
    return made;
}

/// Pixels covered by the label plate of the last mark, that is, the pixels that change if only its label is missing.
difference plate_of_last(const image& image, std::vector<mark> marks, const pali::draw_options& options = {}) {
    const pali::image with = pali::draw(image, marks, options);
    marks.back().score = -1;
    // The label is blank and not empty, because the color depends on the label.
    marks.back().label = " ";
    return difference_of(with, pali::draw(image, marks, options));
}

pali::image with_label(const std::string& label, float score = -1, bool scores = true) {
    return pali::draw(grey(300, 100), std::vector<mark>{{.label = label, .where = {10, 40, 290, 90}, .score = score}}, {.scores = scores});
}

std::size_t pixels_of(const image& p, pali::colour c) {
    std::size_t count = 0;
    for (std::size_t y = 0; y < p.height; ++y)
        for (std::size_t x = 0; x < p.width; ++x) count += colour_at(p, x, y) == c;
    return count;
}

std::string utf8(char32_t c) {
    const auto part = [&](unsigned shift, char32_t lead) { return static_cast<char>(lead | ((c >> shift) & 0x3f)); };
    if (c < 0x80) return {static_cast<char>(c)};
    if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), part(0, 0x80)};
    return {static_cast<char>(0xe0 | c >> 12), part(6, 0x80), part(0, 0x80)};
}

/// CIELAB colors as perceived with a color vision deficiency. Sources: sRGB by IEC 61966-2-1, CIELAB by CIE 15; matrices for linear RGB by
/// Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009), severity 1.
using matrix = std::array<std::array<double, 3>, 3>;
constexpr matrix all_cones{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
constexpr matrix no_red{{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}};
constexpr matrix no_green{{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}};

std::array<double, 3> times(const matrix& m, const std::array<double, 3>& v) {
    std::array<double, 3> out{};
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t k = 0; k < 3; ++k) out[i] += m[i][k] * v[k];
    return out;
}

std::array<double, 3> lab(pali::colour c, const matrix& eyes) {
    const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
    std::array<double, 3> seen = times(eyes, {linear(c.r / 255.0), linear(c.g / 255.0), linear(c.b / 255.0)});
    for (double& v : seen) v = std::clamp(v, 0.0, 1.0);
    constexpr matrix xyz{{{0.4124564, 0.3575761, 0.1804375}, {0.2126729, 0.7151522, 0.0721750}, {0.0193339, 0.1191920, 0.9503041}}};
    const auto f = [](double t) { return t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116; };
    const auto [x, y, z] = times(xyz, seen);
    return {116 * f(y) - 16, 500 * (f(x / 0.95047) - f(y)), 200 * (f(y) - f(z / 1.08883))};
}

double least_distance(std::size_t count, const matrix& eyes) {
    double least = 1e9;
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < i; ++k) {
            const auto a = lab(pali::label_colour(i), eyes), b = lab(pali::label_colour(k), eyes);
            least = std::min(least, std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
        }
    return least;
}

} // namespace

BOOST_AUTO_TEST_CASE(colours_are_told_apart_by_all_eyes) { // a difference of 2.3 is just noticeable
    for (const matrix& eyes : {all_cones, no_red, no_green}) {
        BOOST_TEST(least_distance(7, eyes) >= 15);
        BOOST_TEST(least_distance(pali::palette_size, eyes) >= 8);
    }
    for (std::size_t i = 0; i < pali::palette_size; ++i) {
        const pali::colour c = pali::label_colour(i);
        BOOST_TEST(pali::image_detail::contrast(c, pali::image_detail::text_colour(c)) >= 4.5);
        BOOST_TEST((c == pali::label_colour(i + pali::palette_size)));
    }
    BOOST_TEST(pali::image_detail::contrast({0, 0, 0}, {255, 255, 255}) == 21, boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(nothing_to_draw_leaves_the_image) {
    const pali::image image = pattern(120, 90);
    const pali::mask none(120, 90);
    const pali::mask empty;
    BOOST_TEST((pali::draw(image, {}) == image));
    for (const pali::box& b : {nowhere,
                               pali::box{nan, 5, 50, 50},
                               {130, 5, 150, 50},
                               {-50, 5, -1, 50},
                               {5, 91, 50, 99},
                               {5, -9, 50, -1},
                               {inf, inf, inf, inf},
                               {-inf, inf, inf, inf}})
        for (const pali::mask* m : {static_cast<const pali::mask*>(nullptr), &none, &empty})
            BOOST_TEST((pali::draw(image, std::vector<mark>{{.label = "label", .where = b, .inside = m, .score = 0.5f}}) == image), b);
}

BOOST_AUTO_TEST_CASE(same_input_same_bytes) {
    const pali::image image = pattern(200, 150);
    pali::mask soft(200, 150);
    for (std::size_t i = 0; i < soft.values.size(); ++i) soft.values[i] = static_cast<std::uint8_t>((i % 200) * 255 / 200);
    const std::vector<mark> marks = {
        {"one", {10, 10, 90, 80}, nullptr, 0.7f}, {"two", {60, 40, 190, 140}, &soft, 0.2f}, {"one", {0, 0, 30, 30}}};
    BOOST_TEST((pali::draw(image, marks) == pali::draw(image, marks)));
    BOOST_TEST(!(pali::draw(image, marks) == image));
}

BOOST_AUTO_TEST_CASE(a_box_is_a_line_and_a_light_fill_and_nothing_else) {
    const pali::image image = grey(448, 400);
    const pali::image drawn = pali::draw(image, std::vector<mark>{{.where = {100, 80, 300, 200}}}, {.opacity = 0.6f});
    const pali::colour paint = pali::label_colour(0);
    // 400 / 220: lines 2 pixels wide, centered on the edge, with a rim of 1.
    const difference touched = difference_of(image, drawn);
    BOOST_TEST((touched.x0 == 98 && touched.x1 == 302 && touched.y0 == 78 && touched.y1 == 202));
    for (const std::size_t y : {79u, 80u, 199u, 200u})
        for (std::size_t x = 99; x < 301; ++x) BOOST_TEST_REQUIRE((colour_at(drawn, x, y) == paint));
    for (const std::size_t x : {99u, 100u, 299u, 300u})
        for (std::size_t y = 79; y < 201; ++y) BOOST_TEST_REQUIRE((colour_at(drawn, x, y) == paint));
    for (std::size_t y = 82; y < 198; ++y)
        for (std::size_t x = 102; x < 298; ++x) {
            const auto want = [](int v) { return 128 + 0.2 * (v - 128); }; // one third of 0.6
            BOOST_TEST_REQUIRE(std::abs(drawn.at(x, y)[0] - want(paint.r)) <= 1);
            BOOST_TEST_REQUIRE(std::abs(drawn.at(x, y)[2] - want(paint.b)) <= 1);
        }
    BOOST_TEST(drawn.at(98, 100)[0] < 128); // the rim
}

BOOST_AUTO_TEST_CASE(corners_come_in_any_order) {
    const pali::image image = pattern(120, 90);
    const auto drawn = [&](const pali::box& b) { return pali::draw(image, std::vector<mark>{{.label = "label", .where = b}}); };
    const pali::image want = drawn({20, 30, 80, 70});
    for (const pali::box& b : {pali::box{80, 30, 20, 70}, {20, 70, 80, 30}, {80, 70, 20, 30}}) BOOST_TEST((drawn(b) == want), b);
    // Clipped at the edges of the image, however far outside the box is.
    for (const pali::box& b : {pali::box{-1e30f, -5, 1e30f, 95}, {-inf, -inf, inf, inf}})
        BOOST_TEST((drawn(b) == drawn({0, 0, 120, 90})), b);
}

BOOST_AUTO_TEST_CASE(lines_are_seen_at_the_edges_and_where_there_is_no_room) {
    const pali::image image = grey(448, 448); // line width 2
    const pali::colour paint = pali::label_colour(0);
    const pali::image whole = pali::draw(image, std::vector<mark>{{.where = {0, 0, 448, 448}}});
    for (std::size_t i = 0; i < 448; ++i)
        for (const std::size_t edge : {0u, 1u, 446u, 447u})
            BOOST_TEST_REQUIRE((colour_at(whole, i, edge) == paint && colour_at(whole, edge, i) == paint));
    BOOST_TEST(!(colour_at(whole, 100, 2) == paint));
    for (const pali::box& b :
         {pali::box{150, 150, 150, 150}, {448, 448, 448, 448}, {0, 0, 0, 0}, {447.9f, 5, 447.9f, 5}, {10.4f, 20.2f, 10.6f, 200}})
        BOOST_TEST(pixels_of(pali::draw(image, std::vector<mark>{{.where = b}}), paint) >= 1, b);
    BOOST_TEST((colour_at(pali::draw(grey(1, 1), std::vector<mark>{{.label = "label", .where = {0, 0, 1, 1}}}), 0, 0) == paint));
}

BOOST_AUTO_TEST_CASE(lines_and_text_follow_the_size_of_the_image) {
    std::size_t last_line = 0, last_plate = 0;
    for (const std::size_t side : {112u, 448u, 1000u, 4000u}) {
        const pali::image image = grey(side, side);
        const float s = static_cast<float>(side);
        const std::vector<mark> marks = {{.label = "", .where = {s * 0.1f, s * 0.4f, s * 0.9f, s * 0.8f}}};
        const pali::image drawn = pali::draw(image, marks);
        std::size_t line = 0;
        for (std::size_t y = 0; y < side / 2; ++y) line += colour_at(drawn, side / 2, y) == pali::label_colour(0);
        std::vector<mark> labelled = marks;
        labelled[0].label = "zebra";
        const difference plate = plate_of_last(image, labelled);
        BOOST_TEST(line >= std::max<std::size_t>(1, side / 300));
        BOOST_TEST(line <= std::max<std::size_t>(1, side / 150));
        BOOST_TEST(plate.height() >= std::max<std::size_t>(11, side / 40));
        BOOST_TEST(plate.height() <= std::max<std::size_t>(16, side / 20));
        BOOST_TEST((line >= last_line && plate.height() >= last_plate));
        last_line = line, last_plate = plate.height();
        BOOST_TEST(plate_of_last(image, labelled, {.scale = 2}).height() > plate.height() * 3 / 2);
    }
}

BOOST_AUTO_TEST_CASE(text_is_read_against_its_plate) {
    for (std::size_t i = 0; i < pali::palette_size; ++i) {
        std::vector<mark> marks;
        for (std::size_t k = 0; k < i; ++k) marks.push_back({.label = "label " + std::to_string(k), .where = nowhere});
        marks.push_back({.label = "HIE", .where = {10, 40, 100, 90}});
        const pali::image drawn = pali::draw(grey(112, 112), marks);
        // Letters reach their full color even at the smallest size.
        BOOST_TEST(pixels_of(drawn, pali::image_detail::text_colour(pali::label_colour(i))) >= 15);
        BOOST_TEST(pixels_of(drawn, pali::label_colour(i)) >= 100);
    }
}

BOOST_AUTO_TEST_CASE(only_box_and_plate_are_touched) {
    const pali::image image = pattern(448, 300);
    const std::vector<mark> marks = {{.label = "tiger", .where = {100, 120, 300, 250}, .score = 0.75f}};
    const pali::image drawn = pali::draw(image, marks);
    const difference plate = plate_of_last(image, marks);
    BOOST_TEST((plate.y1 <= 121 && plate.x0 == 100)); // above the box, aligned to its left edge
    for (std::size_t y = 0; y < image.height; ++y)
        for (std::size_t x = 0; x < image.width; ++x) {
            const bool in_box = x >= 98 && x < 302 && y >= 118 && y < 252,
                       in_plate = x >= plate.x0 && x < plate.x1 && y >= plate.y0 && y < plate.y1;
            if (!in_box && !in_plate) BOOST_TEST_REQUIRE((colour_at(drawn, x, y) == colour_at(image, x, y)));
            if (in_plate && !in_box) { // box color, text color or a blend of both: the plate is opaque
                const pali::colour c = colour_at(drawn, x, y), paint = pali::label_colour(0);
                const double part = 1 - c.r / static_cast<double>(paint.r); // the text is black
                BOOST_TEST_REQUIRE(std::abs(c.g - paint.g * (1 - part)) <= 1.5);
                BOOST_TEST_REQUIRE(c.b == 0);
            }
        }
}

BOOST_AUTO_TEST_CASE(labels_stay_within_the_image) {
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{112, 112}, {448, 300}}) {
        const pali::image image = pattern(width, height);
        const float w = static_cast<float>(width), h = static_cast<float>(height);
        const difference middle = plate_of_last(image, {{.label = "tiger", .where = {w * 0.2f, h * 0.5f, w * 0.9f, h * 0.9f}}});
        for (const pali::box& b : {pali::box{0, 0, w / 8, h / 8},
                                   {w * 7 / 8, 0, w, h / 8},
                                   {0, h * 7 / 8, w / 8, h},
                                   {w * 7 / 8, h * 7 / 8, w, h},
                                   {0, 0, w, h},
                                   {w - 1, 0, w, h},
                                   {0, h - 1, w, h},
                                   {w, h, w, h},
                                   {-w, -h, 2 * w, 2 * h}}) {
            const difference plate = plate_of_last(image, {{.label = "tiger", .where = b}});
            BOOST_TEST(plate.width() + 6 >= middle.width(), b); // of the plate; pixels on a line of the same color do not differ
            BOOST_TEST(plate.height() + 6 >= middle.height(), b);
            BOOST_TEST((plate.x1 <= width && plate.y1 <= height));
        }
    }
}

BOOST_AUTO_TEST_CASE(labels_find_room_in_low_images) {
    for (std::size_t height = 15; height < 60; ++height)
        for (float y = 0; y < static_cast<float>(height); y += 3) {
            const difference plate = plate_of_last(pattern(100, height), {{.label = "tiger", .where = {20, y, 60, y + 3}}});
            BOOST_TEST_REQUIRE((plate.width() > 20 && plate.height() >= 8), height << ' ' << y);
        }
}

BOOST_AUTO_TEST_CASE(labels_keep_off_each_other) {
    const pali::image image = pattern(448, 448);
    std::vector<mark> marks;
    std::vector<difference> plates;
    for (int i = 0; i < 8; ++i) {
        marks.push_back({.label = "label " + std::to_string(i), .where = {100, 100, 300, 300}});
        const difference plate = plate_of_last(image, marks);
        BOOST_TEST_REQUIRE(plate.count > 300);
        for (const difference& other : plates)
            BOOST_TEST((plate.x0 >= other.x1 || plate.x1 <= other.x0 || plate.y0 >= other.y1 || plate.y1 <= other.y0));
        plates.push_back(plate);
    }
    for (int i = 0; i < 300; ++i) marks.push_back({.label = "more than there is room for", .where = {100, 100, 300, 300}});
    BOOST_TEST(plate_of_last(image, marks).count > 300); // fewer pixels would mean that the plate is drawn over others
}

BOOST_AUTO_TEST_CASE(small_things_lie_over_large_ones) {
    const pali::image image = grey(200, 200);
    std::vector<mark> marks = {{.label = "", .where = {50, 50, 100, 100}}, {.label = "large", .where = {20, 70, 190, 190}}};
    const pali::image drawn = pali::draw(image, marks);
    BOOST_TEST((colour_at(drawn, 50, 70) == pali::label_colour(0)));
    std::swap(marks[0], marks[1]);
    BOOST_TEST((colour_at(pali::draw(image, marks), 50, 70) == pali::label_colour(1)));
}

BOOST_AUTO_TEST_CASE(one_label_one_colour) {
    const pali::image image = grey(300, 300);
    const std::vector<mark> marks = {
        {"a", {20, 50, 80, 80}}, {"b", {120, 50, 180, 80}}, {"a", {20, 150, 80, 180}}, {"c", {120, 150, 180, 180}}};
    const pali::image drawn = pali::draw(image, marks);
    BOOST_TEST((colour_at(drawn, 20, 70) == pali::label_colour(0)));
    BOOST_TEST((colour_at(drawn, 120, 70) == pali::label_colour(1)));
    BOOST_TEST((colour_at(drawn, 20, 170) == pali::label_colour(0)));
    BOOST_TEST((colour_at(drawn, 120, 170) == pali::label_colour(2)));
}

BOOST_AUTO_TEST_CASE(a_mask_is_laid_on_as_its_values_say) {
    const pali::image image = grey(256, 200);
    pali::mask slope(256, 200);
    for (std::size_t y = 0; y < 200; ++y)
        for (std::size_t x = 0; x < 256; ++x) slope.values[y * 256 + x] = static_cast<std::uint8_t>(x);
    const pali::image drawn = pali::draw(image, std::vector<mark>{{.where = nowhere, .inside = &slope}}, {.opacity = 0.5f});
    const pali::colour paint = pali::label_colour(0);
    for (std::size_t x = 0; x < 256; ++x) {
        if (x > 122 && x < 133) continue; // skip the contour
        if (x > 250) continue;            // skip the image edge, where the mask ends
        const double want = 128 + 0.5 * static_cast<double>(x) / 255 * (paint.r - 128);
        BOOST_TEST(std::abs(drawn.at(x, 100)[0] - want) <= 1.5);
    }
    BOOST_TEST((colour_at(drawn, 0, 100) == colour_at(image, 0, 100)));
    std::size_t line = 0;
    for (std::size_t x = 120; x < 136; ++x) line += drawn.at(x, 100)[2] < 45; // the paint has no blue
    BOOST_TEST(line >= 1);
}

BOOST_AUTO_TEST_CASE(a_contour_is_a_line_along_the_edge) {
    const pali::image image = grey(448, 448);
    pali::mask disc(448, 448);
    const auto away = [](std::size_t x, std::size_t y) {
        return std::hypot(static_cast<double>(x) - 200, static_cast<double>(y) - 220) - 100;
    };
    for (std::size_t y = 0; y < 448; ++y)
        for (std::size_t x = 0; x < 448; ++x) disc.values[y * 448 + x] = away(x, y) < 0 ? 255 : 0;
    const pali::image drawn = pali::draw(image, std::vector<mark>{{.where = nowhere, .inside = &disc}}, {.opacity = 0});
    double worst = 0;
    for (std::size_t y = 0; y < 448; ++y)
        for (std::size_t x = 0; x < 448; ++x) {
            const bool is_grey = colour_at(drawn, x, y) == colour_at(image, x, y);
            if (std::abs(away(x, y)) > 4) BOOST_TEST_REQUIRE(is_grey); // line of 2 with rims of 1, plus the steps of a hard mask
            if (std::abs(away(x, y)) < 0.3) worst = std::max(worst, std::abs(static_cast<double>(drawn.at(x, y)[2]))); // paint has no blue
        }
    BOOST_TEST(worst <= 40); // the contour is closed
}

BOOST_AUTO_TEST_CASE(a_mask_gives_the_label_its_place_where_the_box_does_not) {
    const pali::image image = pattern(300, 300);
    pali::mask part(300, 300);
    for (std::size_t y = 100; y < 200; ++y)
        for (std::size_t x = 150; x < 250; ++x) part.values[y * 300 + x] = 255;
    const difference plate = plate_of_last(image, {{.label = "part", .where = nowhere, .inside = &part}});
    BOOST_TEST((plate.x0 == 150 && plate.y1 == 100));
    pali::mask other(300, 299), swapped(150, 600), short_of_values(300, 300), wrong_width(300, 300);
    short_of_values.values.pop_back();
    wrong_width.width = 299;
    for (const pali::mask* m : {&other, &swapped, &short_of_values, &wrong_width})
        BOOST_TEST(error_of([&] { (void)pali::draw(image, std::vector<mark>{{.inside = m}}); }) == number(errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(scores_are_percentages) {
    BOOST_TEST((with_label("x", 0.5f) == with_label("x 50%")));
    BOOST_TEST((with_label("x", 0.f) == with_label("x 0%")));
    BOOST_TEST((with_label("x", 1.5f) == with_label("x 100%")));
    BOOST_TEST((with_label("x", inf) == with_label("x 100%")));
    BOOST_TEST((with_label("x", nan) == with_label("x")));
    BOOST_TEST((with_label("x", -0.1f) == with_label("x")));
    BOOST_TEST((with_label("x", 0.5f, false) == with_label("x")));
    BOOST_TEST((with_label("", 0.5f) == with_label("50%")));
    BOOST_TEST((with_label("") == with_label(" \t\n")));
    BOOST_TEST(pixels_of(with_label(""), {}) == 0u); // neither plate nor text
}

BOOST_AUTO_TEST_CASE(any_bytes_are_a_label) {
    BOOST_TEST((with_label("a\xff z") == with_label("a\xEF\xBF\xBD z")));
    BOOST_TEST((with_label("a\xC0\xAFz") == with_label("a\xEF\xBF\xBD\xEF\xBF\xBDz"))); // an overlong encoding
    BOOST_TEST((with_label("a\x1b[31mz") == with_label("a\xEF\xBF\xBD[31mz")));
    BOOST_TEST((with_label("a\tb\nc") == with_label("a b c")));
    BOOST_TEST((with_label(std::string("a\0z", 3)) == with_label("a\xEF\xBF\xBDz")));
    BOOST_TEST((with_label("te\xCC\x81st") == with_label("test"))); // a combining accent
    BOOST_TEST((with_label("\xE2\x80\xAE"
                           "abc\xE2\x80\x8D\xEF\xB8\x8F") == with_label("abc"))); // invisible format characters
    BOOST_TEST(!(with_label("\xE8\x99\x8E") == with_label("")));                  // a box for a character without a glyph
    BOOST_TEST((with_label("\xE8\x99\x8E\xE8\x99\x8E") == with_label("\xF0\x9F\x90\xAF\xF0\x9F\x90\xAF")));
    BOOST_TEST(!(with_label("\xE8\x99\x8E") == with_label("\xEF\xBF\xBD")));
    std::mt19937 random(5);
    for (int i = 0; i < 300; ++i) {
        std::string label(random() % 40, ' ');
        for (char& c : label) c = static_cast<char>(random());
        BOOST_TEST_REQUIRE(difference_of(with_label(label), with_label("")).y1 <= 41u, i); // nothing outside the plate above the box
    }
}

BOOST_AUTO_TEST_CASE(long_labels_end_in_an_ellipsis) {
    const std::string long_label(2000, 'm');
    const pali::image drawn = with_label(long_label);
    const difference plate = difference_of(drawn, with_label(""));
    BOOST_TEST((plate.width() > 250 && plate.width() <= 300));
    for (std::size_t y = plate.y0; y < plate.y1; ++y)
        for (const std::size_t x : {plate.x1 - 2, plate.x1 - 1})
            BOOST_TEST((colour_at(drawn, x, y) == pali::label_colour(0))); // no letter is cut off
    bool found = false;
    for (std::size_t n = 5; n < 60; ++n) found = found || drawn == with_label(std::string(n, 'm') + "\xE2\x80\xA6");
    BOOST_TEST(found);
    found = false; // the score is kept
    for (std::size_t n = 5; n < 60; ++n)
        found = found || with_label(long_label, 0.5f) == with_label(std::string(n, 'm') + "\xE2\x80\xA6 50%");
    BOOST_TEST(found);
    BOOST_TEST((with_label(std::string(std::size_t{1} << 24, 'm')) == drawn));
    for (std::size_t width = 1; width < 60; ++width) { // down to widths where nothing fits
        const pali::image image = grey(width, 40);
        (void)pali::draw(image, std::vector<mark>{{.label = long_label, .where = {0, 0, 60, 40}, .score = 0.5f}});
        (void)pali::draw(image, std::vector<mark>{{.label = "", .where = {0, 0, 60, 40}, .score = 0.5f}});
    }
}

BOOST_AUTO_TEST_CASE(every_built_in_letter_has_ink) {
    const pali::image missing = with_label("\xE4\xB8\x80"), none = with_label("");
    for (const auto& [first, last] :
         {std::pair<char32_t, char32_t>{0x21, 0x7e}, {0xa1, 0x17f}, {0x391, 0x3a1}, {0x3a3, 0x3ce}, {0x400, 0x45f}, {0x2018, 0x201a}})
        for (char32_t c = first; c <= last; ++c) {
            if (c == 0xad) continue; // a soft hyphen is not drawn
            const pali::image drawn = with_label(utf8(c));
            BOOST_TEST(!(drawn == missing || drawn == none), "U+" << static_cast<unsigned>(c));
            BOOST_TEST(difference_of(drawn, with_label("\xC2\xA0")).count > 3u, "U+" << static_cast<unsigned>(c));
        }
}

namespace {

/// The built-in font as file bytes.
std::string built_in_font() {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string made;
    std::uint32_t bits = 0, count = 0;
    for (const char* c = pali::image_detail::font_base64; *c != '\0'; ++c) {
        bits = bits << 6 | static_cast<std::uint32_t>(digits.find(*c));
        if ((count += 6) >= 8) made += static_cast<char>(bits >> (count -= 8));
    }
    return made;
}

int error_with_font(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    const std::vector<mark> marks = {{.label = "\xC3\x84\x42\x43 tiger", .where = {10, 30, 190, 50}}};
    return error_of([&] { (void)pali::draw(grey(200, 60), marks, {.font = path}); });
}

} // namespace

BOOST_AUTO_TEST_CASE(a_font_of_ones_own) {
    const temporary_folder folder;
    const auto path = folder.path() / "font.ttf";
    const std::string font = built_in_font();
    BOOST_TEST_REQUIRE(error_with_font(path, font) == 0);
    const std::vector<mark> marks = {{.label = "tiger", .where = {10, 40, 290, 90}}};
    BOOST_TEST((pali::draw(grey(300, 100), marks, {.font = path}) == with_label("tiger")));
    BOOST_TEST(error_of([&] { (void)pali::draw(grey(9, 9), marks, {.font = folder.path() / "absent.ttf"}); }) == number(errc::cannot_open));
    BOOST_TEST(error_of([&] { (void)pali::draw(grey(9, 9), marks, {.font = folder.path()}); }) == number(errc::cannot_open));
    const int malformed = number(errc::malformed_file);
    BOOST_TEST(error_with_font(path, "") == malformed);
    BOOST_TEST(error_with_font(path, "no font at all, but a text") == malformed);
    BOOST_TEST(error_with_font(path, std::string(1000, '\xff')) == malformed);
    for (std::size_t size = 0; size + 4 < font.size(); size += 97)
        BOOST_TEST_REQUIRE(error_with_font(path, font.substr(0, size)) == malformed);
    // A damaged font is rejected, or some glyphs look wrong. Drawing must not crash.
    std::mt19937 random(7);
    for (int i = 0; i < 400; ++i) {
        std::string damaged = font;
        const std::size_t most = i % 2 == 0 ? 400 : damaged.size(); // in the table directory and the first tables, or anywhere
        for (unsigned k = 1 + random() % 8; k > 0; --k) damaged[random() % most] = static_cast<char>(random());
        const int got = error_with_font(path, damaged);
        BOOST_TEST_REQUIRE((got == 0 || got == malformed));
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_drawn_says_so) {
    const int invalid = number(errc::invalid_argument);
    const std::vector<mark> marks = {{.label = "tiger", .where = {1, 1, 5, 5}}};
    BOOST_TEST(error_of([&] { (void)pali::draw(image(), marks); }) == invalid);
    pali::image short_of_bytes(4, 4);
    short_of_bytes.pixels.pop_back();
    BOOST_TEST(error_of([&] { (void)pali::draw(short_of_bytes, marks); }) == invalid);
    for (const float bad : {-0.1f, 1.1f, nan, inf})
        BOOST_TEST(error_of([&] { (void)pali::draw(grey(9, 9), marks, {.opacity = bad}); }) == invalid, bad);
    for (const float bad : {0.f, -1.f, 101.f, nan, inf})
        BOOST_TEST(error_of([&] { (void)pali::draw(grey(9, 9), marks, {.scale = bad}); }) == invalid, bad);
    (void)pali::draw(grey(300, 300), marks, {.scale = 100}); // a plate that does not fit is omitted
    (void)pali::draw(grey(300, 300), marks, {.scale = 0.001f});
}

BOOST_AUTO_TEST_SUITE_END()
