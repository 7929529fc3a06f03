// Reading images: pixels equal those of Pillow's convert("RGB"), and arbitrary bytes cause at worst a pali::error.
#include "goldens.hpp"

#include "../support/temporary_folder.hpp"

#include <pali/image/impl/formats.hpp>
#include <pali/image/read.hpp>
#include <pali/image/resize.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <string_view>

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::errc;

namespace {

std::span<const std::byte> bytes_of(const std::vector<char>& data) { return std::as_bytes(std::span(data)); }

// Whether this build must decode the file exactly as Pillow does. With all libraries, it must. stb, which replaces a missing libjpeg or
// libpng, decodes JPEG and 16-bit gray differently.
bool equals_pillow(const std::string& file) {
    if (file.ends_with(".jpg") || file.ends_with(".mpo")) return PALI_WITH_JPEG;
    if (file.ends_with(".png")) return PALI_WITH_PNG;
    if (file.ends_with(".webp")) return PALI_WITH_WEBP;
    if (file.ends_with(".heic") || file.ends_with(".avif")) return PALI_WITH_HEIF;
    if (file.ends_with(".tif")) return PALI_WITH_TIFF;
    return true;
}

bool is_read(const std::string& file) {
    if (file.ends_with(".jpg") || file.ends_with(".mpo")) return PALI_WITH_JPEG || PALI_WITH_STB;
    if (file.ends_with(".png")) return PALI_WITH_PNG || PALI_WITH_STB;
    return equals_pillow(file);
}

std::vector<char> text(const std::string& s) { return {s.begin(), s.end()}; }

int decode_error(const std::vector<char>& data, const pali::read_options& options = {}) {
    return error_of([&] { (void)pali::decode_image(bytes_of(data), options); });
}

} // namespace

BOOST_AUTO_TEST_SUITE(image_read)

BOOST_DATA_TEST_CASE(pixels_equal_pillows, bdata::make(cases_of("files")), golden) {
    const nlohmann::json& g = golden.value;
    const std::string file = g["file"];
    const auto path = data_path("images/" + file);
    if (!is_read(file)) {
        BOOST_TEST(error_of([&] { (void)pali::read_image(path); }) == number(errc::unsupported_image));
        return;
    }
    if (!equals_pillow(file)) return; // stb's pixels are not specified
    const pali::image image = pali::read_image(path);
    BOOST_TEST(image.width == g["width"].get<std::size_t>());
    BOOST_TEST(image.height == g["height"].get<std::size_t>());
    for (const auto& probe : g["probes"])
        for (std::size_t c = 0; c < 3; ++c) {
            const std::size_t x = probe[0], y = probe[1];
            BOOST_TEST_REQUIRE((x < image.width && y < image.height));
            BOOST_TEST_INFO("channel " << c << " at (" << x << ", " << y << ")");
            BOOST_TEST(int{image.at(x, y)[c]} == probe[2 + c].get<int>());
        }
    BOOST_TEST(sha256(image) == g["sha256"].get<std::string>());
}

// Truncates the file at every 97th byte and at each of the last bytes. The result is an error if Pillow raises one, and the complete image
// if Pillow returns it.
BOOST_DATA_TEST_CASE(a_file_cut_short_is_an_error, bdata::make(cases_of("files")), golden) {
    const nlohmann::json& g = golden.value;
    const std::string file = g["file"];
    if (!is_read(file)) return;
    const auto data = read_bytes(data_path("images/" + file));
    const auto loads = g["cut_loads"].get<std::set<std::size_t>>(), changes = g["cut_changes"].get<std::set<std::size_t>>();
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size < data.size(); size += 97) sizes.push_back(size);
    for (std::size_t size = data.size() > 24 ? data.size() - 24 : 0; size < data.size(); ++size) sizes.push_back(size);
    for (const std::size_t size : sizes) {
        // A copy of exactly this size, so that a sanitizer detects reads past the end.
        const std::vector<char> cut(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size));
        BOOST_TEST_CONTEXT("the first " << size << " of " << data.size() << " bytes") {
            pali::image image;
            const int code = error_of([&] { image = pali::decode_image(bytes_of(cut)); });
            if (!equals_pillow(file) || changes.contains(size)) continue;
            if (loads.contains(size)) {
                BOOST_TEST(code == 0);
                BOOST_TEST(sha256(image) == g["sha256"].get<std::string>());
            } else {
                const bool refused = code == number(errc::malformed_image) || (code == number(errc::unsupported_image) && size < 64);
                BOOST_TEST(refused, "code " << code);
            }
        }
    }
}

// Randomly changed bytes give an image or a pali::error. Intended for sanitizers, and cheap enough to run always.
BOOST_DATA_TEST_CASE(damaged_files_are_survived, bdata::make(cases_of("files")), golden) {
    const nlohmann::json& g = golden.value;
    const auto data = read_bytes(data_path("images/" + g["file"].get<std::string>()));
    std::mt19937 random(1);
    pali::read_options options;
    options.max_side = 2000; // limits the run time, because sizes are damaged as well
    options.max_pixels = 100000;
    for (int round = 0; round < 60; ++round) {
        std::vector<char> damaged = data;
        const std::size_t reach = round % 2 == 0 ? std::min<std::size_t>(damaged.size(), 64) : damaged.size();
        for (int i = 0; i <= round % 5; ++i) damaged[random() % reach] = static_cast<char>(random());
        BOOST_CHECK_NO_THROW((void)decode_error(damaged, options));
    }
}

BOOST_DATA_TEST_CASE(exif_orientation_is_applied_unless_kept, bdata::make(cases_of("orientations")), golden) {
    const nlohmann::json& g = golden.value;
    const std::string file = g["file"];
    if (!is_read(file) || !equals_pillow(file)) return;
    const auto path = data_path("images/" + file);
    BOOST_TEST(sha256(pali::read_image(path, {.keep_exif_orientation = true})) == g["plain"].get<std::string>());
    const pali::image turned = pali::read_image(path);
    BOOST_TEST(turned.width == g["width"].get<std::size_t>());
    BOOST_TEST(turned.height == g["height"].get<std::size_t>());
    BOOST_TEST(sha256(turned) == g["turned"].get<std::string>());
}

BOOST_AUTO_TEST_CASE(damaged_exif_means_upright) {
    if (!is_read(".jpg")) return;
    const auto data = read_bytes(data_path("images/orientation_6.jpg"));
    const auto exif = std::string_view(data.data(), data.size()).find("Exif");
    BOOST_TEST_REQUIRE(exif != std::string_view::npos);
    int turned = 0;
    for (std::size_t at = exif; at < exif + 40; ++at)
        for (const int value : {0x00, 0x7f, 0xff}) {
            auto damaged = data;
            damaged[at] = static_cast<char>(value);
            const pali::image image = pali::decode_image(bytes_of(damaged));
            BOOST_TEST(image.pixels.size() == 12u * 7u * 3u);
            turned += image.width == 7;
        }
    BOOST_TEST(turned > 0); // with damage elsewhere the image is still rotated
}

BOOST_AUTO_TEST_CASE(a_image_over_the_limits_is_refused_by_its_header) {
    struct bomb {
        const char* what;
        std::vector<char> data;
    };
    std::vector<bomb> bombs;
    const auto patched = [](const char* file, std::size_t at, const std::string& bytes) {
        auto data = read_bytes(data_path(std::string("images/") + file));
        std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
        return data;
    };
    const std::string huge("\xff\xff\xff\x7f", 4), wide("\x7f\xff\xff\xff", 4);
    if (is_read(".png")) bombs.push_back({"png", patched("rgb_8.png", 16, wide + wide)});
    if (is_read(".jpg")) {
        const auto data = read_bytes(data_path("images/baseline_420.jpg"));
        const auto sof = std::string_view(data.data(), data.size()).find("\xff\xc0");
        BOOST_TEST_REQUIRE(sof != std::string_view::npos);
        bombs.push_back({"jpeg", patched("baseline_420.jpg", sof + 5, "\xff\xdc\xff\xdc")});
    }
    if (is_read(".webp")) {
        bombs.push_back({"webp", patched("lossy.webp", 26, "\xff\x3f\xff\x3f")});
        bombs.push_back({"webp canvas", patched("animated_part.webp", 24, "\xff\xff\xff\xff\xff\xff")});
    }
    bombs.push_back({"gif", patched("palette.gif", 6, "\xff\xff\xff\xff")});
    bombs.push_back({"bmp", patched("rgb.bmp", 18, huge + huge)});
    bombs.push_back({"tga", patched("rgb.tga", 12, "\xff\xff\xff\xff")});
    bombs.push_back({"ppm", text("P6 2000000000 2000000000 255\n")});
    bombs.push_back({"ppm", text("P3 60000 60000 255\n1")});
    for (const bomb& b : bombs) BOOST_TEST_CONTEXT(b.what) {
            const auto before = std::chrono::steady_clock::now();
            BOOST_TEST(decode_error(b.data) == number(errc::image_too_large));
            BOOST_TEST(std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count() < 0.5);
        }
}

BOOST_AUTO_TEST_CASE(limits_are_options_and_the_error_names_the_one_to_raise) {
    const auto path = data_path("images/rgb.ppm"); // 37 x 29
    const auto message = [&](const pali::read_options& options) { return message_of([&] { (void)pali::read_image(path, options); }); };
    BOOST_TEST(error_of([&] { (void)pali::read_image(path, {.max_side = 36}); }) == number(errc::image_too_large));
    BOOST_TEST(message({.max_side = 36}).find("37 x 29 pixels; a side may have at most 36: raise max_side") != std::string::npos);
    BOOST_TEST(error_of([&] { (void)pali::read_image(path, {.max_pixels = 37 * 29 - 1}); }) == number(errc::image_too_large));
    BOOST_TEST(message({.max_pixels = 37 * 29 - 1}).find("37 x 29 pixels; it may have at most 1072 in total: raise max_pixels") !=
               std::string::npos);
    BOOST_TEST(pali::read_image(path, {.max_side = 37, .max_pixels = 37 * 29}).width == 37u);
    const std::string wide = "P5 65501 1 255\n" + std::string(65501, 'x');
    BOOST_TEST(decode_error(text(wide)) == number(errc::image_too_large));
    BOOST_TEST(pali::decode_image(bytes_of(text(wide)), {.max_side = 65501}).width == 65501u);
    const pali::read_options defaults;
    BOOST_TEST((defaults.max_side >= 10000 && defaults.max_pixels >= 10000u * 10000u));
}

BOOST_AUTO_TEST_CASE(grey_of_16_bits_that_is_clipped_is_reported) {
    std::vector<std::string> warnings;
    const pali::read_options options{.on_warning = [&](std::string_view warning) { warnings.emplace_back(warning); }};
    (void)pali::decode_image(bytes_of(text(std::string("P5 2 1 65535\n\0\xff\0\xfe", 17))), options, "dark.pgm");
    BOOST_TEST(warnings.empty());
    const pali::image bright = pali::decode_image(bytes_of(text(std::string("P5 2 1 65535\n\1\0\0\xfe", 17))), options, "bright.pgm");
    BOOST_TEST(int{bright.pixels[0]} == 255);
    BOOST_TEST_REQUIRE(warnings.size() == 1u);
    BOOST_TEST(warnings[0].find("bright.pgm") != std::string::npos);
    BOOST_TEST(warnings[0].find("1 of 2 pixels") != std::string::npos);
    if (!PALI_WITH_PNG) return;
    (void)pali::read_image(data_path("images/grey_8.png"), options);
    BOOST_TEST(warnings.size() == 1u);
    (void)pali::read_image(data_path("images/grey_16.png"), options);
    BOOST_TEST(warnings.size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_content_counts_and_not_the_name) {
    const temporary_folder folder;
    const auto path = folder.path() / "image.txt";
    std::filesystem::copy_file(data_path("images/palette.gif"), path);
    BOOST_TEST((pali::read_image(path) == pali::read_image(data_path("images/palette.gif"))));
}

BOOST_AUTO_TEST_CASE(what_is_no_image_says_so) {
    const temporary_folder folder;
    BOOST_TEST(error_of([&] { (void)pali::read_image(folder.path() / "absent.png"); }) == number(errc::cannot_open));
    BOOST_TEST(error_of([&] { (void)pali::read_image(folder.path()); }) == number(errc::cannot_open));
    BOOST_TEST(decode_error({}) == number(errc::unsupported_image));
    BOOST_TEST(decode_error(text("{\"weight\": 1}")) == number(errc::unsupported_image));
    BOOST_TEST(decode_error(std::vector<char>(1000, 0)) == number(errc::unsupported_image));
    try {
        (void)pali::decode_image(bytes_of(text("hello there")), {}, "letter.txt");
        BOOST_ERROR("no error");
    } catch (const pali::error& e) {
        const std::string message = e.what();
        BOOST_TEST(message.find("letter.txt") != std::string::npos);
        BOOST_TEST(message.find("pali reads") != std::string::npos);
        BOOST_TEST((message.find("WebP") != std::string::npos) == static_cast<bool>(PALI_WITH_WEBP));
    }
}

BOOST_AUTO_TEST_CASE(malformed_pnm_is_refused) {
    for (const char* data : {"P6 0 1 255\n", "P6 1 1 0\nabc", "P6 1 1 65536\nabcdef", "P6 1 1 255\nab", "P6 -1 1 255\nabc",
                             "P6 x 1 255\nabc", "P3 1 1 255\n1 2\n", "P3 1 1 255\n1 2 256\n", "P1 2 1\n1 2\n",
                             "P2 1 1 99999999999999999999\n1\n", "P6 1 1 # comment without an end"})
        BOOST_TEST(decode_error(text(data)) == number(errc::malformed_image), data);
    BOOST_TEST(decode_error(text("P3 1 1 255\n1 2 3")) == 0); // valid without white space at the end
}

// The error names the image format if this build, or pali, cannot read it, whatever the file extension.
BOOST_AUTO_TEST_CASE(formats_that_are_not_read_are_named) {
    const std::string box("\0\0\0\x18", 4), rest("\0\0\0\0mif1heic", 12);
    struct known {
        std::string data, name;
        bool read;
    };
    for (const known& k :
         {known{box + "ftypheic" + rest, "HEIC", PALI_WITH_HEIF},
          {box + "ftypmif1" + rest, "HEIC", PALI_WITH_HEIF},
          {box + "ftypavif" + rest, "AVIF", PALI_WITH_HEIF},
          {box + "ftypmif1" + std::string(4, '\0') + "avifmiaf", "AVIF", PALI_WITH_HEIF},
          {std::string("II*\0\x08\0\0\0", 8), "TIFF", PALI_WITH_TIFF},
          {std::string("MM\0*\0\0\0\x08", 8), "TIFF", PALI_WITH_TIFF},
          {"\xff\x0a and more", "JPEG XL", false},
          {"%PDF-1.7", "PDF", false},
          {"8BPS", "Photoshop", false},
          {"<svg xmlns", "SVG", false},
          {"<!DOCTYPE html>", "HTML", false},
          {"version https://git-lfs.github.com/spec/v1", "photo.jpg: is a Git LFS pointer, not the file itself; run git lfs pull", false}})
        BOOST_TEST_CONTEXT(k.name) {
            const std::string message = message_of([&] { (void)pali::decode_image(bytes_of(text(k.data)), {}, "photo.jpg"); });
            BOOST_TEST(message.find("photo.jpg") != std::string::npos);
            BOOST_TEST(message.find(k.name) != std::string::npos, message);
            const int code = decode_error(text(k.data));
            BOOST_TEST((code == number(errc::unsupported_image) || (k.read && code == number(errc::malformed_image))), message);
        }
}

BOOST_DATA_TEST_CASE(photographs_beside_the_tree_equal_pillows, bdata::make(cases_of("photographs")), golden) {
    const nlohmann::json& g = golden.value;
    const auto path = shared_path("images/" + g["file"].get<std::string>());
    if (!path || !PALI_WITH_JPEG) {
        BOOST_TEST_MESSAGE("skipped: the photograph is not there, or this build is without libjpeg");
        return;
    }
    const pali::image image = pali::read_image(*path);
    BOOST_TEST((image.width == g["width"] && image.height == g["height"]));
    BOOST_TEST(sha256(image) == g["sha256"].get<std::string>());
    BOOST_TEST(sha256(pali::image_detail::resize(image, 224, 224)) == g["sha256_224"].get<std::string>());
}

BOOST_AUTO_TEST_SUITE_END()
