// Parsing objects from answers: a hand-written table, and invariants that hold for any answer.
#include "answers.hpp"

#include <pali/objects/grammar.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

using namespace pali::test;
namespace bdata = boost::unit_test::data;

namespace {

/// Checks the invariants of any parsed answer. Returns the first violation, or "".
std::string fault_of(const std::string& answer, const pali::objects::spoken_objects& read) {
    std::size_t before = 0;
    if (!pali::core::is_utf8(read.text)) return "text is no UTF-8";
    for (const pali::objects::spoken_object& o : read.objects) {
        if (o.bytes.begin < before || o.bytes.begin > o.bytes.end || o.bytes.end > answer.size()) return "bytes of an object";
        if (o.box_bytes.begin != o.bytes.begin || o.box_bytes.end > o.label_bytes.begin || o.label_bytes.end != o.bytes.end)
            return "order of ranges";
        if (!o.box_bytes.of(answer).starts_with("<loc") || !o.box_bytes.of(answer).ends_with('>')) return "bytes of a box";
        if (!pali::core::is_utf8(o.label)) return "label is no UTF-8";
        if (pali::core::is_utf8(o.label_bytes.of(answer)) && o.label != o.label_bytes.of(answer)) return "label and its bytes";
        if (o.label.empty() != o.label_bytes.empty()) return "an empty label";
        if (o.label.find(';') != std::string::npos || o.label.find("<loc") != std::string::npos) return "a separator in a label";
        if (o.loc[0] >= o.loc[2] || o.loc[1] >= o.loc[3] || *std::max_element(o.loc.begin(), o.loc.end()) > 1023) return "a box";
        if (o.seg && *std::max_element(o.seg->begin(), o.seg->end()) > 127) return "a code";
        before = o.bytes.end;
    }
    if (read.skipped > answer.size()) return "count of what is skipped";
    return "";
}

bool same_object(const pali::objects::spoken_object& a, const pali::objects::spoken_object& b) {
    return a.label == b.label && a.loc == b.loc && a.seg == b.seg;
}

} // namespace

BOOST_AUTO_TEST_SUITE(grammar)

BOOST_DATA_TEST_CASE(answers_are_read, bdata::make(answer_cases()), c) {
    const pali::objects::spoken_objects read = pali::objects::read_objects(c.answer);
    BOOST_TEST(fault_of(c.answer, read) == "");
    BOOST_TEST(read.skipped == c.skipped);
    BOOST_TEST(read.text == c.text);
    BOOST_TEST_REQUIRE(read.objects.size() == c.objects.size());
    for (std::size_t i = 0; i < c.objects.size(); ++i) {
        BOOST_TEST(read.objects[i].label == c.objects[i].label);
        BOOST_TEST(read.objects[i].loc == c.objects[i].loc, boost::test_tools::per_element());
        BOOST_TEST((read.objects[i].seg == c.objects[i].seg));
    }
}

BOOST_AUTO_TEST_CASE(the_table_is_long_enough) { BOOST_TEST(answer_cases().size() >= 60u); }

BOOST_AUTO_TEST_CASE(ranges_name_the_bytes) {
    const std::string answer = "see: <loc0010><loc0020> <loc0300><loc0400>  black cat  ; <loc0001><loc0002><loc0003><loc0004><seg000>";
    const auto read = pali::objects::read_objects(answer);
    BOOST_TEST_REQUIRE(read.objects.size() == 2u);
    const auto& cat = read.objects[0];
    BOOST_TEST(cat.bytes.of(answer) == "<loc0010><loc0020> <loc0300><loc0400>  black cat");
    BOOST_TEST(cat.box_bytes.of(answer) == "<loc0010><loc0020> <loc0300><loc0400>");
    BOOST_TEST(cat.label_bytes.of(answer) == "black cat");
    const auto& other = read.objects[1];
    BOOST_TEST(other.bytes.of(answer) == "<loc0001><loc0002><loc0003><loc0004><seg000>");
    BOOST_TEST(other.box_bytes.of(answer) == "<loc0001><loc0002><loc0003><loc0004>");
    BOOST_TEST((other.label_bytes.empty() && other.label_bytes.begin == answer.size()));
}

// Incremental parsing: objects found in a prefix do not change; only the last may still grow.
BOOST_DATA_TEST_CASE(a_prefix_gives_the_first_objects, bdata::make(answer_cases()), c) {
    const auto whole = pali::objects::read_objects(c.answer);
    for (std::size_t length = 0; length <= c.answer.size(); ++length) {
        const std::string prefix = c.answer.substr(0, length);
        const auto read = pali::objects::read_objects(prefix);
        if (const std::string fault = fault_of(prefix, read); !fault.empty()) BOOST_ERROR(fault << " after " << length << " bytes");
        if (read.objects.size() > whole.objects.size()) {
            BOOST_ERROR(read.objects.size() << " objects after " << length << " bytes");
            continue;
        }
        for (std::size_t i = 0; i < read.objects.size(); ++i) {
            const bool is_last = i + 1 == read.objects.size();
            if (!is_last && !same_object(read.objects[i], whole.objects[i])) BOOST_ERROR("object " << i << " after " << length << " bytes");
            if (is_last && read.objects[i].loc != whole.objects[i].loc)
                BOOST_ERROR("box of object " << i << " after " << length << " bytes");
            if (is_last && read.objects[i].seg && read.objects[i].seg != whole.objects[i].seg)
                BOOST_ERROR("mask after " << length << " bytes");
        }
    }
}

BOOST_AUTO_TEST_CASE(a_separator_joins_answers) {
    const auto& cases = answer_cases();
    for (const auto& a : cases)
        for (const auto& b : cases) {
            const auto first = pali::objects::read_objects(a.answer), second = pali::objects::read_objects(b.answer);
            const auto both = pali::objects::read_objects(a.answer + ";" + b.answer);
            std::vector<pali::objects::spoken_object> want = first.objects;
            want.insert(want.end(), second.objects.begin(), second.objects.end());
            // If `a` ends inside the name of a tag, that is no longer a tag once text follows.
            const bool is_cut = a.answer.ends_with("<") || a.answer.ends_with("<lo") || a.answer.ends_with("<s");
            if (both.objects.size() != want.size()) BOOST_ERROR(a.why << " + " << b.why << ": " << both.objects.size() << " objects");
            else if (!is_cut && !std::equal(want.begin(), want.end(), both.objects.begin(), same_object))
                BOOST_ERROR(a.why << " + " << b.why);
            if (!is_cut && both.skipped != first.skipped + second.skipped)
                BOOST_ERROR(a.why << " + " << b.why << ": skipped " << both.skipped);
        }
}

BOOST_AUTO_TEST_CASE(anything_made_of_pieces_is_read) {
    const std::string pieces[] = {"<loc0000>",
                                  "<loc0512>",
                                  "<loc1023>",
                                  "<loc1024>",
                                  "<loc",
                                  "<loc1",
                                  "<seg000>",
                                  "<seg127>",
                                  "<seg128>",
                                  "<seg",
                                  ";",
                                  " ",
                                  "<",
                                  ">",
                                  "cat",
                                  "\xE7\x8C\xAB",
                                  "\xE7\x8C",
                                  "\xFF",
                                  std::string(1, '\0'),
                                  "\n",
                                  "1",
                                  "<loc0100><loc0100><loc0200><loc0200>"};
    std::mt19937 random(1);
    for (int n = 0; n < 20000; ++n) {
        std::string answer;
        for (std::size_t length = random() % 60; length > 0; --length) answer += pieces[random() % std::size(pieces)];
        if (const std::string fault = fault_of(answer, pali::objects::read_objects(answer)); !fault.empty())
            BOOST_ERROR(fault << ": " << answer);
    }
}

// Each of these would take a minute or more with a quadratic algorithm.
BOOST_AUTO_TEST_CASE(time_grows_linearly) {
    for (const std::string part :
         {"<loc0001><loc0002><loc0003><loc0004> cat ; ", "<loc0001>", "<seg000>", "<", "<loc", "<loc0", " ", ";", "a", "\xFF", "0",
          "<loc0001> ", "<loc0001><loc0002><loc0003><loc0004>", "<loc0001><loc0002><loc0003><loc0004> \n "}) {
        std::string answer;
        while (answer.size() < 4'000'000) answer += part;
        const auto begin = std::chrono::steady_clock::now();
        for (const std::string head : {"", "<loc", "<loc0001><loc0002><loc0003><loc0004>"}) {
            const auto read = pali::objects::read_objects(head + answer);
            BOOST_TEST(fault_of(head + answer, read) == "");
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        BOOST_TEST(took.count() < 20, part << ": " << took.count() << " s");
    }
}

BOOST_AUTO_TEST_SUITE_END()
