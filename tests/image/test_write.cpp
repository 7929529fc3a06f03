// Writing images: reading a written file gives the image back.
#include "goldens.hpp"

#include "../support/temporary_folder.hpp"

#include <pali/image/impl/formats.hpp>
#include <pali/image/read.hpp>
#include <pali/image/write.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstdlib>

using namespace pali::test;
using pali::errc;

BOOST_AUTO_TEST_SUITE(image_write)

BOOST_AUTO_TEST_CASE(png_keeps_every_pixel) {
    const temporary_folder folder;
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{1, 1}, {37, 29}, {300, 1}, {1, 300}, {256, 256}}) {
        const pali::image image = pattern(width, height);
        const auto path = folder.path() / "image.png";
        pali::write_png(path, image);
        BOOST_TEST((pali::read_image(path) == image));
        BOOST_TEST((pali::decode_image(pali::encode_png(image)) == image));
    }
}

BOOST_AUTO_TEST_CASE(png_of_a_mask_is_grey) {
    const std::vector<std::uint8_t> mask = {0, 255, 128, 1, 2, 3};
    const auto bytes = pali::encode_png(3, 2, mask);
    BOOST_TEST(std::to_integer<int>(bytes.at(25)) == 0); // color type in the header: gray
    const pali::image read = pali::decode_image(bytes);
    BOOST_TEST_REQUIRE((read.width == 3 && read.height == 2));
    for (std::size_t i = 0; i < mask.size(); ++i)
        for (std::size_t c = 0; c < 3; ++c) BOOST_TEST(read.pixels[i * 3 + c] == mask[i]);
    const temporary_folder folder;
    pali::write_png(folder.path() / "mask.png", 3, 2, mask);
    BOOST_TEST((pali::read_image(folder.path() / "mask.png") == read));
}

BOOST_AUTO_TEST_CASE(jpeg_is_close_and_closer_with_quality) {
    pali::image image(64, 48);
    for (std::size_t y = 0; y < 48; ++y)
        for (std::size_t x = 0; x < 64; ++x)
            for (std::size_t c = 0; c < 3; ++c) image.at(x, y)[c] = static_cast<std::uint8_t>(x * 2 + y + c * 30);
    const auto distance = [&](int quality) {
        const pali::image read = pali::decode_image(pali::encode_jpeg(image, quality));
        BOOST_TEST_REQUIRE((read.width == 64 && read.height == 48));
        int worst = 0;
        for (std::size_t i = 0; i < read.pixels.size(); ++i) worst = std::max(worst, std::abs(int{read.pixels[i]} - int{image.pixels[i]}));
        return worst;
    };
    BOOST_TEST(distance(100) <= 6); // caused by two color conversions and by chroma at half resolution, on a gradient of 2 per pixel
    BOOST_TEST(distance(90) <= 16);
    BOOST_TEST(distance(5) > distance(100));
    BOOST_TEST(pali::encode_jpeg(image, 20).size() < pali::encode_jpeg(image, 95).size());
    const temporary_folder folder;
    pali::write_jpeg(folder.path() / "image.jpg", image);
    BOOST_TEST((pali::read_image(folder.path() / "image.jpg") == pali::decode_image(pali::encode_jpeg(image, 90))));
}

BOOST_AUTO_TEST_CASE(a_large_jpeg_is_written_in_pieces) {
    pali::image noise(700, 500);
    std::uint32_t state = 1;
    for (std::uint8_t& value : noise.pixels) value = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
    const auto bytes = pali::encode_jpeg(noise, 100);
    BOOST_TEST(bytes.size() > 400000u); // larger than the initial buffer of a writer
    const pali::image read = pali::decode_image(bytes);
    BOOST_TEST_REQUIRE((read.width == 700 && read.height == 500));
    double distance = 0;
    for (std::size_t i = 0; i < read.pixels.size(); ++i) distance += std::abs(int{read.pixels[i]} - int{noise.pixels[i]});
    BOOST_TEST(distance / static_cast<double>(read.pixels.size()) < 64); // unrelated noise: 85; chroma has half the resolution
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_says_so) {
    const temporary_folder folder;
    const pali::image image(2, 2);
    BOOST_TEST(error_of([&] { pali::write_png(folder.path() / "absent" / "image.png", image); }) == number(errc::cannot_write));
    BOOST_TEST(error_of([&] { pali::write_jpeg(folder.path(), image); }) == number(errc::cannot_write));
    const int invalid = number(errc::invalid_argument);
    BOOST_TEST(error_of([&] { (void)pali::encode_png(pali::image()); }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::encode_jpeg(pali::image()); }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::encode_jpeg(image, 0); }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::encode_jpeg(image, 101); }) == invalid);
    BOOST_TEST(error_of([&] { (void)pali::encode_jpeg(pali::image(70000, 1)); }) == invalid); // JPEG allows at most 65500 pixels per side
    BOOST_TEST(error_of([&] { (void)pali::encode_png(3, 2, std::vector<std::uint8_t>(5)); }) == invalid);
    pali::image short_of_bytes(4, 4);
    short_of_bytes.pixels.pop_back();
    BOOST_TEST(error_of([&] { (void)pali::encode_png(short_of_bytes); }) == invalid);
}

BOOST_AUTO_TEST_SUITE_END()
