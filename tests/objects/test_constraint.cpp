// The grammar as a constraint on tokens. Every answer that it allows must be parsed completely.
#include <pali/objects/constraint.hpp>
#include <pali/objects/grammar.hpp>

#include <support/data.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

namespace bdata = boost::unit_test::data;
using pali::token;
using strings = std::vector<std::string>;

const pali::tokenizer& shapes_text() {
    static const pali::tokenizer text(pali::test::source_path("examples/models/shapes"));
    return text;
}

/// All tokens allowed as the next one.
std::set<token> allowed(const pali::objects::object_constraint& constraint, const std::vector<token>& said) {
    std::vector<float> scores(1536);
    constraint(said, scores);
    std::set<token> out;
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (!std::isinf(scores[i])) out.insert(static_cast<token>(i));
    return out;
}

std::set<token> locs(std::size_t first, std::size_t last) {
    std::set<token> out;
    for (std::size_t i = first; i <= last; ++i) out.insert(*shapes_text().loc(i));
    return out;
}

BOOST_AUTO_TEST_CASE(labels_of_a_prompt) {
    BOOST_TEST(pali::objects::asked_labels("cat") == strings{"cat"}, boost::test_tools::per_element());
    BOOST_TEST(pali::objects::asked_labels(" cat ; black dog;;  bird\n") == (strings{"cat", "black dog", "bird"}),
               boost::test_tools::per_element());
    BOOST_TEST(pali::objects::asked_labels(" ; ").empty());
    BOOST_TEST(pali::objects::asked_labels("").empty());
}

BOOST_AUTO_TEST_CASE(each_place_of_an_object_has_its_tokens) {
    const auto& text = shapes_text();
    const pali::objects::object_constraint boxes(text, strings{"red circle", "red ring"}, false);
    std::set<token> first = locs(0, 1022);
    first.insert(text.eos());
    BOOST_TEST((allowed(boxes, {}) == first));
    std::vector<token> said = text.encode("<loc0100>");
    BOOST_TEST((allowed(boxes, said) == locs(0, 1022)));
    said = text.encode("<loc0100><loc0900>");
    BOOST_TEST((allowed(boxes, said) == locs(101, 1023))); // y1 > y0
    said = text.encode("<loc0100><loc0900><loc0101>");
    BOOST_TEST((allowed(boxes, said) == locs(901, 1023))); // x1 > x0
    said = text.encode("<loc0100><loc0900><loc0101><loc0901>");
    BOOST_TEST((allowed(boxes, said) == std::set<token>{text.encode(" red circle")[0]}));
    said = text.encode("<loc0100><loc0900><loc0101><loc0901> red");
    BOOST_TEST((allowed(boxes, said) == std::set<token>{text.encode(" red circle")[text.encode(" red").size()],
                                                        text.encode(" red ring")[text.encode(" red").size()]}));
    said = text.encode("<loc0100><loc0900><loc0101><loc0901> red ring");
    BOOST_TEST((allowed(boxes, said) == std::set<token>{text.eos(), text.encode(" red ring ; ")[text.encode(" red ring").size()]}));
    said = text.encode("<loc0100><loc0900><loc0101><loc0901> red ring ; ");
    BOOST_TEST((allowed(boxes, said) == locs(0, 1022))); // no EOS, because an object was started
}

BOOST_AUTO_TEST_CASE(masks_come_between_box_and_label) {
    const auto& text = shapes_text();
    const pali::objects::object_constraint masks(text, strings{"star"}, true);
    std::string said = "<loc0000><loc0000><loc1023><loc1023>";
    std::set<token> codes;
    for (std::size_t i = 0; i < 128; ++i) codes.insert(*text.seg(i));
    for (int i = 0; i < 16; ++i, said += "<seg127>") BOOST_TEST((allowed(masks, text.encode(said)) == codes), "code " << i);
    BOOST_TEST((allowed(masks, text.encode(said)) == std::set<token>{text.encode(" star")[0]}));
}

BOOST_AUTO_TEST_CASE(what_left_the_grammar_can_only_end) {
    const auto& text = shapes_text();
    const pali::objects::object_constraint boxes(text, strings{"star"}, false);
    for (const char* said : {"star", "<loc0100> star", "<loc0100><loc0100><loc0200><loc0200> circle", "<seg001>"})
        BOOST_TEST((allowed(boxes, text.encode(said)) == std::set<token>{text.eos()}), said);
}

BOOST_AUTO_TEST_CASE(scores_of_what_is_allowed_stay) {
    const auto& text = shapes_text();
    const pali::objects::object_constraint boxes(text, strings{"star"}, false);
    std::vector<float> scores(1536);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>(i) * 0.5f;
    const auto before = scores;
    boxes(text.encode("<loc1000><loc1001>"), scores);
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const auto loc = text.loc_number(static_cast<token>(i));
        BOOST_TEST((loc && *loc > 1000 ? scores[i] == before[i] : std::isinf(scores[i])), "token " << i);
    }
}

BOOST_AUTO_TEST_CASE(without_a_label_or_without_locations_it_is_refused) {
    BOOST_CHECK_EXCEPTION(pali::objects::object_constraint(shapes_text(), strings{}, false), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
}

/// A random walk through the allowed tokens: every answer is parsed completely.
BOOST_DATA_TEST_CASE(any_walk_is_well_formed, bdata::xrange(40), seed) {
    const auto& text = shapes_text();
    const bool masks = seed % 2 == 1;
    const strings labels{"red circle", "red ring", "ring",
                         "blau\xC3\xA4ugig \xE7\x8C\xAB"}; // a label that is no prefix of another, and one that needs byte pieces
    const pali::objects::object_constraint constraint(text, labels, masks);
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<token> said;
    while (said.size() < 400) {
        const std::set<token> may = allowed(constraint, said);
        BOOST_REQUIRE(!may.empty());
        auto chosen = may.begin();
        std::advance(chosen, static_cast<long>(random() % may.size()));
        if (*chosen == text.eos()) break;
        said.push_back(*chosen);
    }
    const bool ended = said.size() < 400;
    const pali::objects::spoken_objects read = pali::objects::read_objects(text.decode(said));
    if (ended) BOOST_TEST(read.skipped == 0u);
    BOOST_TEST(read.text == "");
    for (std::size_t i = 0; i + (ended ? 0 : 1) < read.objects.size(); ++i) {
        BOOST_TEST((std::find(labels.begin(), labels.end(), read.objects[i].label) != labels.end()), read.objects[i].label);
        BOOST_TEST(read.objects[i].seg.has_value() == masks);
    }
}

} // namespace
