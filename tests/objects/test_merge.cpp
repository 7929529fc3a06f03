// Merging of duplicate objects.
#include <pali/core/error.hpp>
#include <pali/objects/merge.hpp>

#include <boost/test/unit_test.hpp>

#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

pali::object made(std::string label, float score, pali::box where) { return {.label = std::move(label), .score = score, .box = where}; }

std::string scores(const std::vector<pali::object>& objects) {
    std::string out;
    for (const auto& o : objects) out += std::to_string(static_cast<int>(o.score * 100 + 0.5f)) + " ";
    return out;
}

const pali::box here{0, 0, 10, 10}, near{0, 0, 10, 8}, half{0, 0, 10, 5}, there{50, 50, 60, 60}; // IoU with here: 1, 0.8, 0.5, 0

} // namespace

BOOST_AUTO_TEST_SUITE(merge)

BOOST_AUTO_TEST_CASE(the_best_stays_where_it_was) {
    BOOST_TEST(scores(pali::merge({made("cat", 0.5f, here), made("cat", 0.2f, there), made("cat", 0.9f, near)})) == "20 90 ");
    BOOST_TEST(scores(pali::merge({made("cat", 0.9f, here), made("cat", 0.2f, there), made("cat", 0.5f, near)})) == "90 20 ");
    BOOST_TEST(pali::merge({}).empty());
}

BOOST_AUTO_TEST_CASE(labels_separate_unless_asked_otherwise) {
    const std::vector<pali::object> two = {made("cat", 0.5f, here), made("dog", 0.9f, here)};
    BOOST_TEST(scores(pali::merge(two)) == "50 90 ");
    BOOST_TEST(scores(pali::merge(two, {.same_label = false})) == "90 ");
}

BOOST_AUTO_TEST_CASE(the_limit_itself_merges) {
    const std::vector<pali::object> two = {made("", 0.5f, here), made("", 0.4f, half)};
    BOOST_TEST(scores(pali::merge(two)) == "50 ");
    BOOST_TEST(scores(pali::merge(two, {.iou = 0.51f})) == "50 40 ");
    BOOST_TEST(scores(pali::merge({made("", 0.5f, here), made("", 0.4f, here), made("", 0.3f, near)}, {.iou = 1})) == "50 30 ");
}

BOOST_AUTO_TEST_CASE(of_equal_scores_the_first_stays) {
    auto twice = std::vector<pali::object>{made("cat", 0.5f, here), made("cat", 0.5f, near)};
    BOOST_TEST_REQUIRE(pali::merge(twice).size() == 1u);
    BOOST_TEST((pali::merge(twice)[0].box == here));
}

// A drops B. B must then not drop C, which overlaps B but not A.
BOOST_AUTO_TEST_CASE(what_is_dropped_drops_nothing) {
    const pali::box a{0, 0, 10, 10}, b{0, 4, 10, 14}, c{0, 8, 10, 18};
    BOOST_TEST(scores(pali::merge({made("", 0.9f, a), made("", 0.8f, b), made("", 0.7f, c)}, {.iou = 0.4f})) == "90 70 ");
}

BOOST_AUTO_TEST_CASE(odd_numbers) {
    const float none = std::numeric_limits<float>::quiet_NaN();
    const auto kept = pali::merge({made("", none, here), made("", 0.1f, here), made("", none, there)});
    BOOST_TEST_REQUIRE(kept.size() == 2u);
    BOOST_TEST(kept[0].score == 0.1f);
    for (const float iou : {0.f, -1.f, 1.5f, none})
        BOOST_CHECK_EXCEPTION((void)pali::merge({}, {.iou = iou}), pali::error,
                              [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
}

BOOST_AUTO_TEST_CASE(nothing_left_is_a_duplicate_and_all_that_went_was) {
    std::mt19937 random(6);
    for (int n = 0; n < 200; ++n) {
        std::vector<pali::object> objects;
        for (std::size_t i = random() % 30; i > 0; --i) {
            const auto side = [&] { return static_cast<float>(random() % 30 + 1); };
            const float x = side(), y = side();
            objects.push_back(
                made(random() % 2 == 0 ? "a" : "b", static_cast<float>(random() % 100) / 100, {x, y, x + side(), y + side()}));
        }
        const auto kept = pali::merge(objects, {.iou = 0.3f});
        const auto alike = [](const pali::object& a, const pali::object& b) {
            return a.label == b.label && pali::iou(a.box, b.box) >= 0.3f;
        };
        std::size_t at = 0;
        for (const auto& o : objects) {
            if (at < kept.size() && kept[at].box == o.box && kept[at].label == o.label && kept[at].score == o.score) ++at;
            else BOOST_TEST((std::any_of(kept.begin(), kept.end(), [&](const auto& k) { return alike(k, o) && k.score >= o.score; })));
        }
        BOOST_TEST(at == kept.size());
        for (std::size_t i = 0; i < kept.size(); ++i)
            for (std::size_t k = 0; k < i; ++k) BOOST_TEST(!alike(kept[i], kept[k]));
    }
}

BOOST_AUTO_TEST_SUITE_END()
