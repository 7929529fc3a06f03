// Preprocessing for the vision tower: bit-exact with transformers' image processor.
#include "goldens.hpp"

#include <pali/image/preprocess.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <limits>

namespace bdata = boost::unit_test::data;
using namespace pali::test;

BOOST_AUTO_TEST_SUITE(image_preprocess)

BOOST_DATA_TEST_CASE(values_equal_transformers, bdata::make(cases_of("pixel_values")), golden) {
    const nlohmann::json& g = golden.value;
    const pali::preprocessing how{.width = g["width"],
                                  .height = g["height"],
                                  .resample = pali::filter{g["resample"].get<int>()},
                                  .do_resize = g["do_resize"],
                                  .do_rescale = g["do_rescale"],
                                  .do_normalize = g["do_normalize"],
                                  .rescale_factor = g["rescale_factor"],
                                  .mean = g["mean"].get<std::array<double, 3>>(),
                                  .std = g["std"].get<std::array<double, 3>>()};
    const auto values = pali::image_detail::preprocess(pattern(g["source"][0], g["source"][1]), how);
    BOOST_TEST_REQUIRE((values.shape(0) == 3 && values.shape(1) == how.height && values.shape(2) == how.width));
    for (const auto& probe : g["probes"]) BOOST_TEST(values.data()[probe[0].get<std::size_t>()] == probe[1].get<float>());
    BOOST_TEST(sha256(values.data(), values.size() * sizeof(float)) == g["sha256"].get<std::string>());
}

BOOST_AUTO_TEST_CASE(defaults_are_paligemmas) {
    const pali::preprocessing how;
    BOOST_TEST((how.width == 224 && how.height == 224 && how.resample == pali::filter::bicubic));
    pali::image white(1, 1);
    white.pixels = {255, 0, 255};
    const auto values = pali::image_detail::preprocess(white, how);
    BOOST_TEST(values(0, 0, 0) == 1.f);
    BOOST_TEST(values(1, 100, 100) == -1.f);
    BOOST_TEST(values(2, 223, 223) == 1.f);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_prepared_is_an_invalid_argument) {
    const int invalid = number(pali::errc::invalid_argument);
    const pali::image image(10, 10);
    BOOST_TEST(error_of([&] { (void)pali::image_detail::preprocess(image, {.width = 10, .height = 11, .do_resize = false}); }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::image_detail::preprocess(image, {.std = {0.5, 0.0, 0.5}}); }) == invalid);
    BOOST_TEST(error_of([&] {
                   (void)pali::image_detail::preprocess(image, {.mean = {0.5, std::numeric_limits<double>::quiet_NaN(), 0.5}});
               }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::image_detail::preprocess(pali::image()); }) == invalid);
}

BOOST_AUTO_TEST_SUITE_END()
