// Tokens, the bytes they give, and what they say of an object.
#include "answers.hpp"

#include <pali/core/error.hpp>
#include <pali/objects/object_score.hpp>
#include <pali/text/tokenizer.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace pali::test;
using pali::token;

namespace {

std::vector<pali::tokenizer> vocabularies() {
    std::vector<pali::tokenizer> out;
    out.emplace_back(source_path("examples/models/shapes/tokenizer.model"));
    if (const auto real = shared_path("tokenizer/paligemma_tokenizer.model")) out.emplace_back(*real);
    else BOOST_TEST_MESSAGE("skipped for Gemma's vocabulary: it is not beside the tree");
    return out;
}

/// An answer as a model says it: encoded, with one log-probability for each token, none like another.
struct said {
    std::vector<token> tokens;
    std::string text;
    std::vector<pali::text_range> ranges;
    std::vector<float> logprobs;

    said(const pali::tokenizer& vocabulary, std::vector<token> ids) : tokens(std::move(ids)), text(vocabulary.decode(tokens)) {
        ranges = pali::token_ranges(vocabulary, tokens);
        for (std::size_t i = 0; i < tokens.size(); ++i) logprobs.push_back(-0.01f * static_cast<float>((i * 37) % 101 + 1));
    }
    said(const pali::tokenizer& vocabulary, const std::string& answer) : said(vocabulary, vocabulary.encode(answer)) {}

    /// The mean over the tokens of those numbers.
    [[nodiscard]] float mean_of(const std::vector<std::size_t>& of) const {
        double sum = 0;
        for (const std::size_t i : of) sum += static_cast<double>(logprobs.at(i));
        return static_cast<float>(std::exp(sum / static_cast<double>(of.size())));
    }
    [[nodiscard]] float score(std::size_t object) const {
        return pali::score_of(pali::read_objects(text).objects.at(object), ranges, logprobs);
    }
    /// Tokens whose piece is the label's, counted by hand.
    [[nodiscard]] std::vector<std::size_t> all_but(std::size_t count, std::initializer_list<std::size_t> left_out) const {
        std::vector<std::size_t> out;
        for (std::size_t i = 0; i < count; ++i)
            if (std::find(left_out.begin(), left_out.end(), i) == left_out.end()) out.push_back(i);
        return out;
    }
};

const std::string box = "<loc0010><loc0020><loc0300><loc0400>";
const std::string codes = [] {
    std::string out;
    for (int i = 10; i < 26; ++i) out += "<seg0" + std::to_string(i) + ">";
    return out;
}();

} // namespace

BOOST_AUTO_TEST_SUITE(score)

BOOST_AUTO_TEST_CASE(ranges_lie_side_by_side_and_cover_the_text) {
    std::mt19937 random(4);
    for (const pali::tokenizer& v : vocabularies()) {
        std::vector<token> bytes;
        for (token id = 0; id < static_cast<token>(v.size()); ++id)
            if (v.kind(id) == pali::piece_kind::byte) bytes.push_back(id);
        BOOST_TEST_REQUIRE(bytes.size() == 256u);
        const std::string letters[] = {"\xC3\xA9", "\xE8\x99\x8E", "\xF0\x9F\x90\xAF"};
        for (int n = 0; n < 500; ++n) {
            std::vector<token> ids;
            for (std::size_t length = random() % 20; ids.size() < length;) {
                if (random() % 2 == 0) ids.push_back(static_cast<token>(random() % (v.size() + 3)) - 1);
                else if (random() % 2 == 0) ids.push_back(bytes[random() % 256]);
                else { // a character, sometimes cut off
                    const std::string& letter = letters[random() % 3];
                    for (std::size_t i = 0; i + random() % 2 < letter.size(); ++i)
                        ids.push_back(bytes[static_cast<unsigned char>(letter[i])]);
                }
            }
            const std::string text = v.decode(ids);
            const auto ranges = pali::token_ranges(v, ids);
            BOOST_TEST_REQUIRE(ranges.size() == ids.size());
            std::size_t at = 0;
            for (std::size_t i = 0; i < ids.size(); ++i) {
                if (ranges[i].begin != at || ranges[i].end < at)
                    BOOST_ERROR("range of token " << i << " of " << nlohmann::json(ids).dump());
                at = ranges[i].end;
                if (v.kind(ids[i]) == pali::piece_kind::hidden && !ranges[i].empty()) BOOST_ERROR("a hidden token gives text");
                if (v.kind(ids[i]) != pali::piece_kind::text) continue;
                std::string piece;
                pali::append_piece(piece, v.piece(ids[i]));
                if (at > text.size() || ranges[i].of(text) != piece)
                    BOOST_ERROR("text of token " << i << " of " << nlohmann::json(ids).dump());
            }
            if (at != text.size()) BOOST_ERROR(at << " bytes, " << text.size() << " of text: " << nlohmann::json(ids).dump());
        }
    }
}

BOOST_AUTO_TEST_CASE(coordinates_and_label_count_and_mask_codes_do_not) {
    for (const pali::tokenizer& v : vocabularies()) {
        const said plain(v, box + " cat");
        BOOST_TEST(plain.score(0) == plain.mean_of(plain.all_but(plain.tokens.size(), {})));
        const said masked(v, box + codes + " cat");
        BOOST_TEST(masked.tokens.size() == plain.tokens.size() + 16);
        std::vector<std::size_t> counted = {0, 1, 2, 3};
        for (std::size_t i = 20; i < masked.tokens.size(); ++i) counted.push_back(i);
        BOOST_TEST(masked.score(0) == masked.mean_of(counted));
        const said unnamed(v, box + codes);
        BOOST_TEST(unnamed.score(0) == unnamed.mean_of({0, 1, 2, 3}));
    }
}

BOOST_AUTO_TEST_CASE(each_object_has_its_own_tokens) {
    for (const pali::tokenizer& v : vocabularies()) {
        const std::size_t cat = v.encode(" cat").size(), separator = v.encode(box + " cat ;" + box).size() - 8 - cat;
        const said two(v, box + " cat ;" + box + " cat");
        std::vector<std::size_t> first, second;
        for (std::size_t i = 0; i < 4 + cat; ++i) {
            first.push_back(i);
            second.push_back(i + 4 + cat + separator);
        }
        BOOST_TEST(two.tokens.size() == second.back() + 1);
        BOOST_TEST(two.score(0) == two.mean_of(first));
        BOOST_TEST(two.score(1) == two.mean_of(second));
        BOOST_TEST(two.score(0) != two.score(1));
    }
}

// Bytes of a character count for the label that the character is in, although the text knows of them only when the last has come.
BOOST_AUTO_TEST_CASE(labels_in_byte_pieces) {
    for (const pali::tokenizer& v : vocabularies()) {
        const auto byte = [&](int b) {
            static const char* digits = "0123456789ABCDEF";
            return *v.id(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">");
        };
        std::vector<token> ids = v.encode(box);
        for (const int b : {0x20, 0xF0, 0x9F, 0x90, 0xAF, 0x20, 0x3B, 0x20}) ids.push_back(byte(b)); // " tiger ; " in bytes
        const said tiger(v, ids);
        BOOST_TEST(pali::read_objects(tiger.text).objects.at(0).label == "\xF0\x9F\x90\xAF");
        BOOST_TEST(tiger.score(0) == tiger.mean_of({0, 1, 2, 3, 5, 6, 7, 8})); // neither blank
        ids.resize(8);                                                         // cut off within the character: its bytes are three U+FFFD
        const said cut(v, ids);
        BOOST_TEST(pali::read_objects(cut.text).objects.at(0).label == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
        BOOST_TEST(cut.score(0) == cut.mean_of({0, 1, 2, 3, 5, 6, 7}));
    }
}

BOOST_AUTO_TEST_CASE(hidden_tokens_count_nowhere) {
    for (const pali::tokenizer& v : vocabularies()) {
        std::vector<token> ids = v.encode(box);
        ids.insert(ids.begin() + 2, v.pad());
        ids.push_back(v.eos());
        const said plain(v, ids);
        BOOST_TEST(plain.score(0) == plain.mean_of({0, 1, 3, 4}));
    }
}

BOOST_AUTO_TEST_CASE(scores_are_probabilities) {
    const pali::tokenizer v(source_path("examples/models/shapes/tokenizer.model"));
    const auto ids = v.encode(box + " cat");
    const auto ranges = pali::token_ranges(v, ids);
    const auto object = pali::read_objects(v.decode(ids)).objects.at(0);
    const auto with = [&](float first) {
        std::vector<float> logprobs(ids.size(), 0.f);
        logprobs[0] = first;
        return pali::score_of(object, ranges, logprobs);
    };
    BOOST_TEST(with(0.f) == 1.f);
    BOOST_TEST(with(1e-3f) == 1.f); // rounding may leave a probability a little above 1
    BOOST_TEST((with(-1.f) < 1.f && with(-1.f) > with(-2.f) && with(-2.f) > 0.f));
    BOOST_TEST(with(-std::numeric_limits<float>::infinity()) == 0.f);
    BOOST_TEST(with(std::numeric_limits<float>::quiet_NaN()) == 0.f);
    BOOST_TEST(pali::score_of(object, {}, {}) == 0.f);
    BOOST_CHECK_EXCEPTION((void)pali::score_of(object, ranges, std::vector<float>(ids.size() - 1)), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
}

BOOST_AUTO_TEST_SUITE_END()
