// RLE: counts and strings equal those of pycocotools, in both directions.
#include "answers.hpp"

#include <pali/core/error.hpp>
#include <pali/objects/place_mask.hpp>
#include <pali/objects/rle.hpp>

#include <support/golden.hpp>

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <vector>

using namespace pali::test;

namespace {

pali::mask mask_from(const nlohmann::json& rows) {
    pali::mask made(rows.at(0).get<std::string>().size(), rows.size());
    for (std::size_t y = 0; y < made.height; ++y)
        for (std::size_t x = 0; x < made.width; ++x) made.values[y * made.width + x] = rows[y].get<std::string>()[x] == '1' ? 255 : 0;
    return made;
}

bool is_malformed(const pali::error& e) { return e.code() == pali::errc::malformed_file; }
bool is_invalid(const pali::error& e) { return e.code() == pali::errc::invalid_argument; }

} // namespace

BOOST_AUTO_TEST_SUITE(rle)

BOOST_AUTO_TEST_CASE(equals_pycocotools) {
    const nlohmann::json file = read_json(data_path("objects/rle.json"));
    BOOST_TEST(file.at("masks").size() >= 12u);
    for (const auto& c : file.at("masks")) {
        const pali::mask mask = mask_from(c["rows"]);
        const pali::run_lengths runs = pali::runs_of(mask);
        BOOST_TEST(runs.counts == c["counts"].get<std::vector<std::size_t>>(), boost::test_tools::per_element());
        BOOST_TEST(pali::to_string(runs) == c["string"].get<std::string>());
        BOOST_TEST(runs.area() == c["area"].get<std::size_t>());
        BOOST_TEST((pali::read_runs(c["string"].get<std::string>(), mask.width, mask.height) == runs));
        BOOST_TEST((pali::mask_of(runs) == mask));
    }
}

// From floats to the RLE string in the COCO file of big_vision's evaluator.
BOOST_AUTO_TEST_CASE(placed_masks_equal_pycocotools) {
    const golden masks(data_path("objects/masks.safetensors"));
    const std::vector<float> values = masks.floats("blob");
    pali::tensor<2> blob({64, 64});
    std::copy(values.begin(), values.end(), blob.data());
    const nlohmann::json file = read_json(data_path("objects/placements.json"));
    std::size_t compared = 0;
    for (const auto& p : file.at("placements")) {
        if (!p.contains("rle")) continue;
        const auto made = pali::objects::place_mask(blob, p["loc"].get<std::array<std::uint16_t, 4>>(), p["width"].get<std::size_t>(),
                                                    p["height"].get<std::size_t>(), pali::mask_style::hard, p["divisor"].get<int>());
        BOOST_TEST(pali::to_string(pali::runs_of(made)) == p["rle"].get<std::string>());
        ++compared;
    }
    BOOST_TEST(compared >= 20u);
}

BOOST_AUTO_TEST_CASE(any_mask_comes_back) {
    std::mt19937 random(8);
    for (int n = 0; n < 300; ++n) {
        pali::mask mask(random() % 40, random() % 40);
        const auto density = random() % 101;
        for (auto& v : mask.values) v = random() % 100 < density ? 255 : 0;
        const pali::run_lengths runs = pali::runs_of(mask);
        BOOST_TEST(runs.area() == mask.area());
        BOOST_TEST((pali::mask_of(runs) == mask));
        BOOST_TEST((pali::read_runs(pali::to_string(runs), mask.width, mask.height) == runs));
    }
}

BOOST_AUTO_TEST_CASE(soft_masks_are_cut_at_one_half) {
    pali::mask mask(4, 1);
    mask.values = {0, 127, 128, 255};
    BOOST_TEST(pali::runs_of(mask).counts == (std::vector<std::size_t>{2, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(strings_that_are_none) {
    for (const std::string text : {"", "4", "04", "05", "a", "P", "Q", "0!", "0p4", "0\x7f", "oooooooooooooooooooo4", "O4", "1111", "222N"})
        BOOST_CHECK_EXCEPTION((void)pali::read_runs(text, 1, 3), pali::error, is_malformed);
    BOOST_CHECK_EXCEPTION((void)pali::read_runs("0", std::size_t{1} << 40, std::size_t{1} << 40), pali::error, is_malformed);
    BOOST_TEST((pali::read_runs("3", 1, 3).counts == std::vector<std::size_t>{3}));
    // From the fourth count on, a count is stored as the difference from the one two before.
    BOOST_TEST((pali::read_runs("0110", 1, 3).counts == std::vector<std::size_t>{0, 1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(any_string_is_read_or_refused) {
    std::mt19937 random(9);
    std::size_t read = 0;
    for (int n = 0; n < 50000; ++n) {
        std::string text;
        for (std::size_t i = random() % 12; i > 0; --i) text += static_cast<char>(random() % 8 == 0 ? random() % 256 : '0' + random() % 16);
        try {
            const auto runs = pali::read_runs(text, 7, 5);
            BOOST_TEST((pali::runs_of(pali::mask_of(runs)).area() == runs.area()));
            ++read;
        } catch (const pali::error& e) {
            BOOST_TEST(is_malformed(e));
        }
    }
    BOOST_TEST(read > 100u);
}

BOOST_AUTO_TEST_CASE(runs_must_fill_the_mask) {
    using counts = std::vector<std::size_t>;
    const std::size_t most = static_cast<std::size_t>(-1);
    for (const auto& c : {counts{}, counts{3}, counts{2, 3}, counts{most, 5}, counts{1, most, 4}, counts{4, 1}})
        BOOST_CHECK_EXCEPTION((void)pali::mask_of({.width = 2, .height = 2, .counts = c}), pali::error, is_invalid);
    BOOST_CHECK_EXCEPTION((void)pali::mask_of({.width = most, .height = most, .counts = {1}}), pali::error, is_invalid);
    BOOST_TEST((pali::mask_of({.width = 0, .height = 0, .counts = {0}}).empty()));
}

BOOST_AUTO_TEST_SUITE_END()
