// Placing decoded masks in the image: results are bit-exact with Pillow; also tests the cases that Pillow does not define.
#include "answers.hpp"

#include <support/golden.hpp>
#include <support/sha256.hpp>

#include <pali/core/error.hpp>
#include <pali/objects/place_mask.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

using namespace pali::test;
namespace bdata = boost::unit_test::data;

namespace {

const nlohmann::json& goldens() {
    static const nlohmann::json file = read_json(data_path("objects/placements.json"));
    return file;
}

struct placement {
    nlohmann::json value;
    friend std::ostream& operator<<(std::ostream& out, const placement& p) { return out << p.value.dump().substr(0, 120); }
};

std::vector<placement> placements() {
    std::vector<placement> out;
    for (const auto& p : goldens().at("placements")) out.push_back({p});
    if (out.size() < 300) throw std::runtime_error("placements.json holds too little");
    return out;
}

const pali::tensor<2>& decoded(const std::string& name) {
    static const golden file(data_path("objects/masks.safetensors"));
    static std::map<std::string, pali::tensor<2>> read;
    auto [found, is_new] = read.try_emplace(name);
    if (is_new) {
        const std::vector<float> values = file.floats(name);
        found->second.resize({64, 64});
        std::copy(values.begin(), values.end(), found->second.data());
    }
    return found->second;
}

int code_of(auto&& call) {
    try {
        call();
    } catch (const pali::error& e) {
        return static_cast<int>(e.code());
    }
    return 0;
}

constexpr int invalid = static_cast<int>(pali::errc::invalid_argument);

} // namespace

BOOST_AUTO_TEST_SUITE(place_mask)

BOOST_DATA_TEST_CASE(equals_pillow, bdata::make(placements()), p) {
    const nlohmann::json& v = p.value;
    const auto style = v["style"] == "hard" ? pali::mask_style::hard : pali::mask_style::soft;
    const auto loc = v["loc"].get<std::array<std::uint16_t, 4>>();
    const std::size_t width = v["width"], height = v["height"];
    const pali::mask made = pali::objects::place_mask(decoded(v["mask"]), loc, width, height, style, v["divisor"].get<int>());
    BOOST_TEST_REQUIRE((made.width == width && made.height == height && made.values.size() == width * height));
    BOOST_TEST(std::accumulate(made.values.begin(), made.values.end(), std::int64_t{0}) == v["sum"].get<std::int64_t>());
    BOOST_TEST(sha256(made.values.data(), made.values.size()) == v["sha256"].get<std::string>());
}

BOOST_AUTO_TEST_CASE(floats_equal_pillow) {
    const pali::tensor<2>& noise = decoded("noise");
    for (const auto& c : goldens().at("floats")) {
        const std::size_t width = c["width"], height = c["height"];
        const pali::objects::axis_part x{width, 0, width, 0}, y{height, 0, height, 0};
        const auto weights = [](std::size_t out) {
            return pali::kernels::make_exact_resample_weights(64, out, 1.0, pali::image_detail::bilinear_weight, 0, out);
        };
        const std::vector<float> from(noise.data(), noise.data() + noise.size());
        const auto made = pali::objects::resample<pali::objects::float_pixels>(from, 64, x, y, weights(width), weights(height));
        BOOST_TEST(made.size() == width * height);
        BOOST_TEST(sha256(made.data(), made.size() * sizeof(float)) == c["sha256"].get<std::string>(), width << " x " << height);
    }
}

// The visible part of the mask equals the same part in a larger image that contains the whole box.
BOOST_AUTO_TEST_CASE(a_box_partly_outside_is_cut_not_squeezed) {
    std::mt19937 random(2);
    for (const auto style : {pali::mask_style::hard, pali::mask_style::soft})
        for (int n = 0; n < 60; ++n) {
            const auto number = [&](int low, int high) { return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)); };
            const int width = number(1, 90), height = number(1, 90), margin = 200;
            const int x0 = number(-margin, 100), y0 = number(-margin, 100), x1 = x0 + number(1, 150), y1 = y0 + number(1, 150);
            const auto at = [](int a, int b, int c, int d) {
                return pali::box{static_cast<float>(a), static_cast<float>(b), static_cast<float>(c), static_cast<float>(d)};
            };
            const auto cut = pali::objects::place_mask(decoded("noise"), at(x0, y0, x1, y1), static_cast<std::size_t>(width),
                                                       static_cast<std::size_t>(height), style);
            const auto whole =
                pali::objects::place_mask(decoded("noise"), at(x0 + margin, y0 + margin, x1 + margin, y1 + margin), 500, 500, style);
            std::size_t wrong = 0;
            for (std::size_t y = 0; y < cut.height; ++y)
                for (std::size_t x = 0; x < cut.width; ++x)
                    wrong += cut.values[y * cut.width + x] !=
                             whole.values[(y + static_cast<std::size_t>(margin)) * 500 + x + static_cast<std::size_t>(margin)];
            BOOST_TEST(wrong == 0u, x0 << ' ' << y0 << ' ' << x1 << ' ' << y1 << " in " << width << " x " << height);
        }
}

BOOST_AUTO_TEST_CASE(a_box_and_what_was_said_agree) {
    const std::array<std::uint16_t, 4> loc{100, 200, 800, 900};
    for (const auto style : {pali::mask_style::hard, pali::mask_style::soft}) {
        const auto by_loc = pali::objects::place_mask(decoded("blob"), loc, 640, 480, style);
        BOOST_TEST((by_loc == pali::objects::place_mask(decoded("blob"), pali::objects::box_of(loc, 640, 480), 640, 480, style)));
        BOOST_TEST(by_loc.area() > 0u);
    }
}

BOOST_AUTO_TEST_CASE(hard_is_all_or_nothing_and_soft_is_between) {
    const auto hard = pali::objects::place_mask(decoded("blob"), pali::box{10, 10, 190, 150}, 200, 160);
    BOOST_TEST(std::all_of(hard.values.begin(), hard.values.end(), [](int v) { return v == 0 || v == 255; }));
    const auto soft = pali::objects::place_mask(decoded("blob"), pali::box{10, 10, 190, 150}, 200, 160, pali::mask_style::soft);
    BOOST_TEST(std::any_of(soft.values.begin(), soft.values.end(), [](int v) { return v > 50 && v < 200; }));
    BOOST_TEST(pali::iou(hard, soft) > 0.9f);
}

BOOST_AUTO_TEST_CASE(no_pixels_nothing_inside) {
    for (const auto style : {pali::mask_style::hard, pali::mask_style::soft})
        for (const pali::box where :
             {pali::box{5, 5, 5, 9}, pali::box{5, 5, 9, 5}, pali::box{9, 5, 5, 9}, pali::box{5, 9, 9, 5}, pali::box{5.1f, 5.1f, 5.4f, 9},
              pali::box{-9, 2, -1, 8}, pali::box{20, 2, 30, 8}, pali::box{2, 10, 8, 12}, pali::box{2, -8, 8, -0.2f}}) {
            const auto made = pali::objects::place_mask(decoded("blob"), where, 20, 10, style);
            BOOST_TEST((made == pali::mask(20, 10)), where);
        }
    BOOST_TEST((pali::objects::place_mask(decoded("blob"), pali::box{0, 0, 5, 5}, 0, 0).empty()));
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_does_no_harm) {
    pali::tensor<2> values = decoded("blob");
    for (std::size_t i = 0; i < 64; ++i) {
        values(i, i) = std::numeric_limits<float>::quiet_NaN();
        values(i, 63 - i) = i % 2 == 0 ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity();
    }
    for (const auto style : {pali::mask_style::hard, pali::mask_style::soft}) {
        BOOST_TEST(pali::objects::place_mask(values, pali::box{0, 0, 100, 80}, 100, 80, style).area() > 0u);
        const float infinite = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
        for (const pali::box where :
             {pali::box{0, 0, infinite, 5}, pali::box{-infinite, 0, infinite, 5}, pali::box{0, none, 5, 5}, pali::box{0, 0, 2e7f, 5}})
            BOOST_TEST(code_of([&] { (void)pali::objects::place_mask(values, where, 10, 10, style); }) == invalid, where);
        // The mask is sixteen million pixels wide, of which ten are visible. Only those may be computed.
        BOOST_TEST((pali::objects::place_mask(values, pali::box{-8e6f, -8e6f, 8e6f, 8e6f}, 10, 10, style).values.size() == 100u));
    }
}

BOOST_AUTO_TEST_CASE(arguments_are_checked) {
    BOOST_TEST(code_of([&] { (void)pali::objects::place_mask(pali::tensor<2>(), pali::box{0, 0, 5, 5}, 10, 10); }) == invalid);
    BOOST_TEST(code_of([&] { (void)pali::objects::place_mask(decoded("blob"), {0, 0, 5, 5}, 10, 10, pali::mask_style::hard, 1000); }) ==
               invalid);
    BOOST_TEST(code_of([&] { (void)pali::objects::box_of({0, 0, 5, 5}, 10, 10, 0); }) == invalid);
}

BOOST_AUTO_TEST_CASE(other_sizes_of_masks_are_stretched) {
    const pali::tensor<2> values({2, 3}, 1.f);
    const auto made = pali::objects::place_mask(values, pali::box{2, 3, 12, 9}, 20, 10);
    BOOST_TEST(made.area() == 60u);
    BOOST_TEST((made.contains(2, 3) && made.contains(11, 8) && !made.contains(12, 8) && !made.contains(11, 9) && !made.contains(1, 3)));
}

BOOST_AUTO_TEST_CASE(coordinates_to_pixels) {
    BOOST_TEST((pali::objects::box_of({0, 0, 1023, 1023}, 1024, 512) == pali::box{0, 0, 1023, 511.5f}));
    BOOST_TEST((pali::objects::box_of({0, 0, 1023, 1023}, 1024, 512, 1023) == pali::box{0, 0, 1024, 512}));
    BOOST_TEST((pali::objects::box_of({256, 512, 768, 896}, 640, 480) == pali::box{320, 120, 560, 360})); // answers give y before x
    BOOST_TEST((pali::objects::box_of({341, 0, 682, 1023}, 300, 300, 1023) == pali::box{0, 100, 300, 200}));
}

BOOST_AUTO_TEST_SUITE_END()
