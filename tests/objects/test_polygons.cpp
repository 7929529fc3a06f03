// Outlines of masks. Filling them must give the masks back, by the rule of this test and by that of pycocotools.
#include "answers.hpp"

#include <pali/objects/polygons.hpp>
#include <pali/objects/rle.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace pali::test;
using nlohmann::json;

namespace {

pali::mask mask_from(const std::vector<std::string>& rows) {
    pali::mask made(rows[0].size(), rows.size());
    for (std::size_t y = 0; y < rows.size(); ++y)
        for (std::size_t x = 0; x < rows[y].size(); ++x) made.values[y * made.width + x] = rows[y][x] == '#' ? 255 : 0;
    return made;
}

/// Pixels whose center has an odd number of vertical edges to its left.
pali::mask filled(const std::vector<pali::polygon>& lines, std::size_t width, std::size_t height) {
    pali::mask made(width, height);
    for (const pali::polygon& line : lines)
        for (std::size_t i = 0; i < line.size(); ++i) {
            const pali::polygon_point a = line[i], b = line[(i + 1) % line.size()];
            for (std::size_t y = 0; y < height; ++y) {
                const double centre = static_cast<double>(y) + 0.5, ay = static_cast<double>(a.y), by = static_cast<double>(b.y);
                if ((ay < centre) == (by < centre)) continue;
                const double crossing =
                    static_cast<double>(a.x) + (static_cast<double>(b.x) - static_cast<double>(a.x)) * (centre - ay) / (by - ay);
                for (std::size_t x = 0; x < width; ++x)
                    if (static_cast<double>(x) + 0.5 > crossing) made.values[y * width + x] ^= 255;
            }
        }
    return made;
}

} // namespace

BOOST_AUTO_TEST_SUITE(polygons)

BOOST_AUTO_TEST_CASE(a_border_has_a_point_where_it_turns) {
    using line = pali::polygon;
    const pali::mask_polygons square = pali::polygons_of(mask_from({"....", ".##.", ".##."}));
    BOOST_TEST((square.outlines == std::vector<line>{{{3, 1}, {3, 3}, {1, 3}, {1, 1}}}));
    BOOST_TEST(square.holes.empty());
    const pali::mask_polygons ring = pali::polygons_of(mask_from({"###", "#.#", "###"}));
    BOOST_TEST((ring.outlines == std::vector<line>{{{3, 0}, {3, 3}, {0, 3}, {0, 0}}}));
    BOOST_TEST((ring.holes == std::vector<line>{{{2, 2}, {2, 1}, {1, 1}, {1, 2}}}));
    const pali::mask_polygons corner = pali::polygons_of(mask_from({"#.", ".#"}));
    BOOST_TEST(corner.outlines.size() == 2u, "pixels that meet at a corner are two regions");
    BOOST_TEST(pali::polygons_of(mask_from({"..", ".."})).outlines.empty());
    BOOST_TEST(pali::joined(pali::polygons_of(mask_from({".."}))).empty());
}

BOOST_AUTO_TEST_CASE(filling_borders_gives_the_mask_back) {
    std::mt19937 random(7);
    for (int round = 0; round < 400; ++round) {
        const std::size_t width = 1 + random() % 12, height = 1 + random() % 12;
        pali::mask from(width, height);
        for (std::uint8_t& value : from.values) value = random() % 5 < static_cast<unsigned>(1 + round % 4) ? 255 : 0;
        const pali::mask_polygons borders = pali::polygons_of(from);
        std::vector<pali::polygon> all = borders.outlines;
        all.insert(all.end(), borders.holes.begin(), borders.holes.end());
        BOOST_TEST((filled(all, width, height) == from));
        BOOST_TEST((filled({pali::joined(borders)}, width, height) == from), "joined to one line too");
    }
}

/// tests/golden/polygons.py: masks, and the RLE that pycocotools makes of their polygons. pycocotools has a different fill rule, so a pixel
/// may differ.
BOOST_AUTO_TEST_CASE(polygons_are_the_masks_that_pycocotools_fills) {
    const json cases = read_json(data_path("objects/polygons.json"));
    BOOST_TEST(cases.size() >= 10u);
    for (const json& one : cases) {
        const pali::mask from = pali::mask_of(pali::read_runs(one.at("mask").get<std::string>(), one.at("width"), one.at("height")));
        json got = json::array();
        for (const pali::polygon& line : pali::polygons_of(from).outlines) {
            const auto first = std::min_element(line.begin(), line.end(),
                                                [](const auto& a, const auto& b) { return std::pair(a.y, a.x) < std::pair(b.y, b.x); });
            pali::polygon turned(first, line.end());
            turned.insert(turned.end(), line.begin(), first);
            json numbers = json::array();
            for (const pali::polygon_point& point : turned) numbers.insert(numbers.end(), {point.x, point.y});
            got.push_back(numbers);
        }
        BOOST_TEST(std::is_permutation(got.begin(), got.end(), one.at("polygons").begin(), one.at("polygons").end()),
                   "these are the lines that pycocotools was given");
        const pali::mask theirs = pali::mask_of(pali::read_runs(one.at("filled").get<std::string>(), one.at("width"), one.at("height")));
        BOOST_TEST(pali::iou(from, theirs) >= 0.99f);
    }
}

BOOST_AUTO_TEST_SUITE_END()
