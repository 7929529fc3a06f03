// Variants of the image formats: compares the files of tests/golden/image_variants.py with Pillow and pillow_heif.
#include "goldens.hpp"

#include "../support/base64.hpp"
#include "../support/temporary_folder.hpp"

#include <pali/image/impl/formats.hpp>
#include <pali/image/read.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::errc;

namespace {

/// One case of variants.json.
struct variant {
    nlohmann::json value;
    [[nodiscard]] std::string name() const { return value["name"]; }
    [[nodiscard]] std::vector<std::byte> bytes() const { return from_base64(value["data"].get_ref<const std::string&>()); }
    friend std::ostream& operator<<(std::ostream& out, const variant& v) { return out << v.value["name"]; }
};

const std::vector<variant>& variants() {
    static const std::vector<variant> all = [] {
        const nlohmann::json manifest = nlohmann::json::parse(read_bytes(data_path("image_variants/variants.json")));
        std::vector<variant> made;
        for (const auto& value : manifest["cases"]) made.push_back({value});
        return made;
    }();
    return all;
}

/// Whether this build uses the library that the goldens refer to. stb, in place of libjpeg and libpng, decodes some files differently.
bool is_read(const std::string& name) {
    if (name.ends_with(".jpg") || name.ends_with(".mpo")) return PALI_WITH_JPEG;
    if (name.ends_with(".png")) return PALI_WITH_PNG;
    if (name.ends_with(".webp")) return PALI_WITH_WEBP;
    if (name.ends_with(".heic") || name.ends_with(".avif")) return PALI_WITH_HEIF;
    if (name.ends_with(".tif")) return PALI_WITH_TIFF;
    return true;
}

bool has_library(const std::string& name) {
    return is_read(name) || ((name.ends_with(".jpg") || name.ends_with(".mpo") || name.ends_with(".png")) && PALI_WITH_STB);
}

} // namespace

BOOST_AUTO_TEST_SUITE(image_variants)

BOOST_DATA_TEST_CASE(variants_equal_the_reference, bdata::make(variants()), one) {
    const nlohmann::json& g = one.value;
    const std::vector<std::byte> data = one.bytes();
    if (!is_read(one.name())) {
        if (!has_library(one.name())) BOOST_TEST(error_of([&] { (void)pali::decode_image(data); }) == number(errc::unsupported_image));
        return;
    }
    if (g.contains("error")) {
        const std::string says = g["says"], message = message_of([&] { (void)pali::decode_image(data); });
        BOOST_TEST(error_of([&] { (void)pali::decode_image(data); }) == g["error"].get<int>(), message);
        BOOST_TEST(message.find(says) != std::string::npos, message << " does not say " << says);
        BOOST_TEST(((message.find("truncated") != std::string::npos) == (says == "truncated")), message);
        return;
    }
    const pali::image image = pali::decode_image(data);
    BOOST_TEST_REQUIRE(image.width == g["width"].get<std::size_t>());
    BOOST_TEST_REQUIRE(image.height == g["height"].get<std::size_t>());
    if (g.contains("sha256")) {
        BOOST_TEST(sha256(image) == g["sha256"].get<std::string>());
    } else {
        const std::vector<std::byte> pixels = from_base64(g["pixels"].get_ref<const std::string&>());
        BOOST_TEST_REQUIRE(pixels.size() == image.pixels.size());
        double sum = 0;
        int most = 0;
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            const int difference = std::abs(std::to_integer<int>(pixels[i]) - image.pixels[i]);
            sum += difference;
            most = std::max(most, difference);
        }
        BOOST_TEST(sum / static_cast<double>(pixels.size()) <= g["mean"].get<double>());
        BOOST_TEST(most <= g["most"].get<int>());
    }
    if (g.contains("stored"))
        BOOST_TEST(sha256(pali::decode_image(data, {.keep_exif_orientation = true})) == g["stored"].get<std::string>());
}

// HEIC and AVIF are rotated as their container says, TIFF as its tag says. The option applies only to EXIF.
BOOST_DATA_TEST_CASE(keeping_the_exif_orientation_leaves_other_turns, bdata::make(variants()), one) {
    const std::string name = one.name();
    if (!is_read(name) || one.value.contains("error") || name.find("orientation") == std::string::npos) return;
    const std::vector<std::byte> data = one.bytes();
    BOOST_TEST((pali::decode_image(data) == pali::decode_image(data, {.keep_exif_orientation = true})));
}

// The same bytes give the same image, so no uninitialized memory is shown.
BOOST_DATA_TEST_CASE(variants_do_not_depend_on_memory, bdata::make(variants()), one) {
    if (!has_library(one.name()) || one.value.contains("error")) return;
    const std::vector<std::byte> data = one.bytes();
    const pali::image first = pali::decode_image(data);
    const std::vector<std::vector<std::uint8_t>> filled(
        8, std::vector<std::uint8_t>(first.pixels.size() * 2 + 256, 0xa5)); // changes the contents of the memory for the next allocation
    const auto used = filled;
    BOOST_TEST((pali::decode_image(data) == first));
}

// Randomly changed bytes give an image or a pali::error. Intended for sanitizers, and cheap enough to run always.
BOOST_DATA_TEST_CASE(damaged_variants_are_survived, bdata::make(variants()), one) {
    if (!has_library(one.name())) return;
    const std::vector<std::byte> data = one.bytes();
    std::mt19937 random(1);
    const pali::read_options options{.max_side = 2000, .max_pixels = 100000};
    // PALI_TEST_DAMAGE: rounds per file, for longer runs with a sanitizer.
    const char* const asked = std::getenv("PALI_TEST_DAMAGE");
    const int rounds = asked != nullptr ? std::atoi(asked) : 12;
    for (int round = 0; round < rounds; ++round) {
        std::vector<std::byte> damaged = data;
        const std::size_t reach = round % 2 == 0 ? std::min<std::size_t>(damaged.size(), 64) : damaged.size();
        for (int i = 0; i <= round % 5; ++i) damaged[random() % reach] = static_cast<std::byte>(random());
        if (round % 6 == 5) damaged.resize(random() % damaged.size());
        BOOST_CHECK_NO_THROW((void)error_of([&] { (void)pali::decode_image(damaged, options); }));
    }
}

// A GIF of 65535 x 65535 pixels exceeds the default limit and is rejected from its header.
BOOST_AUTO_TEST_CASE(a_wide_gif_is_refused_at_once) {
    const temporary_folder folder;
    for (const variant& one : variants()) {
        if (!one.name().starts_with("gif_wide")) continue;
        const auto path = folder.path() / one.name();
        const std::vector<std::byte> data = one.bytes();
        std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
        std::string message;
        double seconds = 1; // the best of several runs, because the machine may be busy
        for (int i = 0; i < 5; ++i) {
            const auto before = std::chrono::steady_clock::now();
            message = message_of([&] { (void)pali::read_image(path); });
            seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count());
        }
        BOOST_TEST(seconds < 0.01);
        BOOST_TEST(message.find("max_side") != std::string::npos, message);
    }
}

BOOST_AUTO_TEST_SUITE_END()
