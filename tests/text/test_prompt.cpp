#include "vocabularies.hpp"

#include <pali/core/error.hpp>
#include <pali/text/prompt.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace pali::test;
using pali::token;

BOOST_AUTO_TEST_SUITE(prompt)

BOOST_AUTO_TEST_CASE(layout_is_that_of_the_reference) {
    for (const vocabulary& v : vocabularies()) {
        const pali::tokenizer text(v.model, 300000);
        for (const auto& c : v.golden["prompts"]) {
            std::vector<token> want(512, 300000);
            const auto words = ids_of(c["ids"]);
            want.insert(want.end(), words.begin(), words.end());
            const auto got = pali::text::layout_prompt(text, c["prompt"].get<std::string>(), 512);
            BOOST_TEST(got.tokens == want,
                       v.name << ": " << c["prompt"].dump() << " gave " << shown({got.tokens.begin() + 512, got.tokens.end()}));
            BOOST_TEST(got.image_tokens == 512u);
        }
    }
}

// A common user error with all ports is to write image markers, BOS or the newline into the prompt (transformers #36008, #35200; vLLM
// #14015).
BOOST_AUTO_TEST_CASE(prompts_as_people_write_them) {
    const pali::tokenizer text(source_path("examples/models/shapes/tokenizer.model"), 1480);
    const auto want = pali::text::layout_prompt(text, "detect red circle", 4).tokens;
    for (const char* written :
         {"detect red circle\n", "detect red circle\r\n", "<image>detect red circle", "<image> detect red circle",
          "<image>\ndetect red circle", "<image><bos>detect red circle\n", "<bos>detect red circle", "<bos> detect red circle\n",
          " <image> <image>  detect red circle", "\n<image>\n<bos>\n detect red circle\n", "<bos><image>detect red circle"})
        BOOST_TEST(pali::text::layout_prompt(text, written, 4).tokens == want, written);
    BOOST_TEST(pali::text::layout_prompt(text, "<image><image> <image>x", 4).tokens == pali::text::layout_prompt(text, "x", 4).tokens);
    BOOST_TEST(pali::text::layout_prompt(text, "<image>", 4).tokens == pali::text::layout_prompt(text, "", 4).tokens);
    BOOST_TEST(pali::text::layout_prompt(text, "<image> ", 4).tokens == pali::text::layout_prompt(text, "", 4).tokens);
}

BOOST_AUTO_TEST_CASE(what_is_not_a_marker_stays) {
    BOOST_TEST(pali::text::read_prompt("  a  ") == "  a  ");
    BOOST_TEST(pali::text::read_prompt("a\n\n") == "a\n");
    BOOST_TEST(pali::text::read_prompt("a\r\n\r\n") == "a\r\n");
    BOOST_TEST(pali::text::read_prompt("\n") == "");
    BOOST_TEST(pali::text::read_prompt("\r\n") == "");
    BOOST_TEST(pali::text::read_prompt("a\r") == "a\r");
    BOOST_TEST(pali::text::read_prompt("") == "");
    BOOST_TEST(pali::text::read_prompt("a\nb\n") == "a\nb");
    BOOST_TEST(pali::text::read_prompt("a <pad>") == "a <pad>");
    BOOST_TEST(pali::text::read_prompt("<eos>a") == "<eos>a");
    BOOST_TEST(pali::text::read_prompt("<images>a") == "<images>a");
}

BOOST_AUTO_TEST_CASE(markers_behind_other_text_are_refused) {
    const pali::tokenizer text(source_path("examples/models/shapes/tokenizer.model"), 1480);
    for (const char* written :
         {"detect <image> cat", "what is this? <image>", "caption <bos> en", "<image>a<image>", "<eos><image>", "<loc0001><image><image>"})
        BOOST_CHECK_EXCEPTION((void)pali::text::layout_prompt(text, written, 4), pali::error,
                              [](const pali::error& e) { return e.code() == pali::errc::invalid_prompt; });
}

BOOST_AUTO_TEST_CASE(tasks_take_their_whole_prompt_too) {
    for (const char* written : {"de", "caption de", "<image>caption de\n", "<bos>de\n"})
        BOOST_TEST(pali::caption_prompt(written) == "caption de", written);
    for (const char* whole : {"describe en", "cap en", "caption <loc0000><loc0000><loc1023><loc1023>"})
        BOOST_TEST(pali::caption_prompt(whole) == whole);
    BOOST_TEST(pali::caption_prompt("zh-Hans") == "caption zh-Hans");
    BOOST_TEST(pali::answer_prompt("where is it?", "en") == "answer en where is it?");
    BOOST_TEST(pali::answer_prompt("answer fr where is it?\n", "en") == "answer fr where is it?");
    BOOST_TEST(pali::answer_prompt("<image>question en two", "de") == "question en two");
    BOOST_TEST(pali::answer_prompt("answer yes or no: is it night?", "en") == "answer en answer yes or no: is it night?");
    const auto refused = [](const pali::error& e) { return e.code() == pali::errc::invalid_prompt; };
    for (const char* other : {"a cat", "", "english", "detect cat", "e", "en us"})
        BOOST_CHECK_EXCEPTION((void)pali::caption_prompt(other), pali::error, refused);
    BOOST_CHECK_EXCEPTION((void)pali::answer_prompt("where?", "nowhere"), pali::error, refused);
}

// Earlier ports tokenized the newline together with the prompt, so that "\n" + "\n" merged to another token.
BOOST_AUTO_TEST_CASE(the_newline_is_tokenised_apart) {
    for (const vocabulary& v : vocabularies()) {
        const pali::tokenizer text(v.model, 300000);
        const auto layout = pali::text::layout_prompt(text, "a\n\n", 0).tokens;
        BOOST_TEST(layout == (std::vector<token>{text.bos(), text.encode("a")[0], text.newline(), text.newline()}),
                   v.name << shown(layout));
    }
}

BOOST_AUTO_TEST_CASE(no_prompt_adds_image_tokens) {
    const pali::tokenizer text(source_path("examples/models/shapes"));
    for (const char* written : {"<image>a", "<bos><image>a<eos>", "<image><image><eos>", "<imag", "< image>"}) {
        const auto layout = pali::text::layout_prompt(text, written, 3);
        BOOST_TEST(std::count(layout.tokens.begin(), layout.tokens.end(), text.image()) == 3, written);
        BOOST_TEST(std::count(layout.tokens.begin(), layout.tokens.end(), text.bos()) == 1, written);
        BOOST_TEST(std::count(layout.tokens.begin(), layout.tokens.end(), text.eos()) == 0, written);
    }
}

BOOST_AUTO_TEST_CASE(without_images_no_image_token_is_needed) {
    const pali::tokenizer text(source_path("examples/models/shapes/tokenizer.model"));
    BOOST_TEST(pali::text::layout_prompt(text, "a", 0).tokens.size() == 3u);
    BOOST_CHECK_EXCEPTION((void)pali::text::layout_prompt(text, "a", 1), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::missing_token; });
}

BOOST_AUTO_TEST_CASE(answers_end_with_eos) {
    const pali::tokenizer text(source_path("examples/models/shapes/tokenizer.model"));
    auto want = text.encode(" two circles\n");
    want.push_back(text.eos());
    BOOST_TEST(pali::text::encode_answer(text, " two circles\n") == want);
    BOOST_TEST(pali::text::encode_answer(text, "") == std::vector<token>{text.eos()});
}

BOOST_AUTO_TEST_SUITE_END()
