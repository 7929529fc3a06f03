// Resizing: bit-exact with Pillow for every filter, up and down.
#include "goldens.hpp"

#include <pali/image/resize.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace bdata = boost::unit_test::data;
using namespace pali::test;

BOOST_AUTO_TEST_SUITE(image_resize)

BOOST_DATA_TEST_CASE(bytes_equal_pillows, bdata::make(cases_of("resizes")), golden) {
    const nlohmann::json& g = golden.value;
    const std::size_t width = g["target"][0], height = g["target"][1];
    const pali::image out =
        pali::image_detail::resize(pattern(g["source"][0], g["source"][1]), width, height, pali::filter{g["filter"].get<int>()});
    BOOST_TEST_REQUIRE((out.width == width && out.height == height));
    const auto row = g["middle_row"].get<std::vector<int>>();
    BOOST_TEST(std::vector<int>(out.at(0, height / 2), out.at(0, height / 2) + row.size()) == row, boost::test_tools::per_element());
    BOOST_TEST(sha256(out) == g["sha256"].get<std::string>());
}

BOOST_AUTO_TEST_CASE(bicubic_is_the_default) {
    const pali::image source = pattern(50, 40);
    BOOST_TEST((pali::image_detail::resize(source, 31, 70) == pali::image_detail::resize(source, 31, 70, pali::filter::bicubic)));
    BOOST_TEST((pali::image_detail::resize(source, 31, 70) != pali::image_detail::resize(source, 31, 70, pali::filter::bilinear)));
}

BOOST_AUTO_TEST_CASE(one_colour_stays_itself) {
    for (const int value : {0, 1, 127, 254, 255}) {
        pali::image source(123, 77);
        std::fill(source.pixels.begin(), source.pixels.end(), static_cast<std::uint8_t>(value));
        for (int f = 0; f < 6; ++f)
            for (const std::uint8_t byte : pali::image_detail::resize(source, 224, 31, pali::filter{f}).pixels)
                if (byte != value) BOOST_FAIL("filter " << f << " makes " << int{byte} << " of " << value);
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_resized_is_an_invalid_argument) {
    const pali::image source(4, 4);
    const auto code = [&](const pali::image& from, std::size_t width, std::size_t height, int filter) {
        return error_of([&] { (void)pali::image_detail::resize(from, width, height, pali::filter{filter}); });
    };
    const int invalid = number(pali::errc::invalid_argument);
    BOOST_TEST(code(source, 0, 4, 3) == invalid);
    BOOST_TEST(code(source, 4, 0, 3) == invalid);
    BOOST_TEST(code(source, std::size_t{1} << 40, 4, 3) == invalid);
    BOOST_TEST(code(pali::image(), 4, 4, 3) == invalid);
    BOOST_TEST(code(source, 5, 4, 6) == invalid);
    BOOST_TEST(code(source, 4, 5, -1) == invalid);
    pali::image short_of_bytes(4, 4);
    short_of_bytes.pixels.pop_back();
    BOOST_TEST(code(short_of_bytes, 5, 5, 3) == invalid);
}

BOOST_AUTO_TEST_CASE(the_digest_is_sha_256) {
    BOOST_TEST(sha256("abc", 3) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    BOOST_TEST(sha256("", 0) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    BOOST_TEST(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56) ==
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

BOOST_AUTO_TEST_SUITE_END()
