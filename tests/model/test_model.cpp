// Calls pali::model as users do and compares it with transformers: answers, beam search, scores, batches, callbacks.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "cases.hpp"

#include <pali/arch/dispatch.hpp>
#include <pali/image/read.hpp>
#include <pali/model.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__unix__)
#  include <sys/wait.h>
#  include <unistd.h>
#endif

namespace {

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::token;
using exact_model = pali::model<pali::dynamic, pali::f32>;

std::vector<pali::image> images_of(const json& one) {
    std::vector<pali::image> out;
    for (const json& path : one.at("images")) out.push_back(pali::read_image(data_path("models/" + path.get<std::string>())));
    return out;
}

std::vector<pali::image_features> features_of(exact_model& model, const json& one) {
    std::vector<pali::image_features> out;
    for (const pali::image& image : images_of(one)) out.push_back(model.encode(image));
    return out;
}

pali::generate_options options_of(const json& one) { return {.max_new_tokens = one.at("max_new_tokens").get<std::size_t>()}; }

std::string prompt_of(const json& one) { return one.at("prompt").get<std::string>(); }

void check_tokens(const std::vector<token>& got, const json& want, const std::string& what) {
    BOOST_TEST((got == want.get<std::vector<token>>()), what << ": got " << json(got) << ", want " << want);
}

void check_logprobs(const std::vector<float>& got, const json& want, double tolerance) {
    BOOST_REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
        BOOST_TEST(std::abs(got[i] - want[i].get<double>()) <= tolerance,
                   "log-probability " << i << ": got " << got[i] << ", want " << want[i]);
}

void check_answer(const pali::generation& got, const json& one, double tolerance) {
    check_tokens(got.tokens, one.at("tokens"), "tokens");
    BOOST_TEST(got.text == one.at("text").get<std::string>());
    BOOST_TEST(pali::to_string(got.finish) == one.at("finish_reason").get<std::string>());
    check_tokens(got.prompt_tokens, one.at("prompt_tokens"), "prompt");
    check_logprobs(got.logprobs, one.at("logprobs"), tolerance);
}

/// The first checkpoint and its first case, for tests of behavior.
struct fixture {
    tiny_model tiny{"gemma2_grouped"};
    const json& one = tiny.cases().at(0);
    exact_model model{tiny.folder()};
    pali::image image = images_of(one).front();
    std::string prompt = prompt_of(one);
    std::vector<token> tokens = one.at("tokens").get<std::vector<token>>();
};

} // namespace

BOOST_AUTO_TEST_SUITE(model)

BOOST_DATA_TEST_CASE(greedy_answers, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    const auto images = images_of(one);
    check_answer(model.generate(images, prompt_of(one), options_of(one)), one, tiny.tolerance("logprob"));
}

BOOST_DATA_TEST_CASE(beams, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    const auto images = images_of(one);
    for (const json& beams : one.at("beams")) {
        pali::generate_options options{.max_new_tokens = beams.at("max_new_tokens").get<std::size_t>()};
        options.num_beams = beams.at("num_beams").get<std::size_t>();
        options.length_penalty = beams.at("length_penalty").get<float>();
        options.early_stopping = beams.at("early_stopping").get<bool>();
        const pali::generation got = model.generate(images, prompt_of(one), options);
        check_tokens(got.tokens, beams.at("tokens"), "length penalty " + std::to_string(options.length_penalty));
        double sum = 0;
        for (const float x : got.logprobs) sum += static_cast<double>(x);
        const double length = static_cast<double>(got.tokens.size()),
                     score = sum / std::pow(length, static_cast<double>(options.length_penalty));
        BOOST_TEST(std::abs(score - beams.at("score").get<double>()) <= length * tiny.tolerance("logprob"));
    }
}

/// min_new_tokens and repetition_penalty. As in transformers, the penalty also counts the prompt and the image token. Log-probabilities
/// remain those of the model.
BOOST_DATA_TEST_CASE(processed_answers, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    const auto images = images_of(one);
    for (const json& processed : one.at("processed")) {
        pali::generate_options options = options_of(one);
        options.min_new_tokens = processed.value("min_new_tokens", std::size_t{0});
        options.sampling.repetition_penalty = processed.value("repetition_penalty", 1.f);
        const pali::generation got = model.generate(images, prompt_of(one), options);
        check_tokens(got.tokens, processed.at("tokens"), processed.contains("min_new_tokens") ? "min_new_tokens" : "repetition_penalty");
        check_logprobs(got.logprobs, processed.at("logprobs"), tiny.tolerance("logprob"));
    }
}

BOOST_DATA_TEST_CASE(scores, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    const json& answer = one.at("answer");
    exact_model model(tiny.folder());
    const auto got = model.score(features_of(model, one), prompt_of(one), answer.at("text").get<std::string>());
    check_tokens(got.tokens, answer.at("tokens"), "answer");
    check_logprobs(got.logprobs, answer.at("logprobs"), tiny.tolerance("logprob"));
    BOOST_TEST(std::abs(got.logprob - answer.at("logprob").get<double>()) <=
               static_cast<double>(got.tokens.size()) * tiny.tolerance("logprob"));
}

BOOST_DATA_TEST_CASE(public_results, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    const auto images = features_of(model, one);
    BOOST_TEST(images.front().values.shape(0) == tiny.image_tokens());
    const std::string key = "case." + std::to_string(which.number) + ".";
    const auto hidden = model.hidden_states(images, prompt_of(one));
    check_close({hidden.data(), hidden.size()}, tiny.goldens.floats(key + "norm"), tiny.tolerance("norm"), "hidden states");
    const auto logits = model.logits(images, prompt_of(one));
    const auto want = tiny.goldens.floats(key + "logits");
    BOOST_REQUIRE(logits.shape(0) == hidden.shape(0));
    check_close(std::span(logits.data(), logits.size()).last(want.size()), want, tiny.tolerance("logits"), "logits");
    const auto longer = model.logits(images, prompt_of(one), one.at("answer").at("text").get<std::string>());
    BOOST_TEST(longer.shape(0) == logits.shape(0) + one.at("answer").at("tokens").size() - 1, "a suffix has no end of its own");
}

/// In a batch of different images, prompts, lengths and options, each request gets the same answer as alone.
BOOST_DATA_TEST_CASE(a_batch_answers_as_each_alone, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    exact_model model(tiny.folder());
    std::vector<std::vector<pali::image_features>> images;
    std::vector<pali::request> requests;
    std::vector<std::string> prompts;
    for (const json& one : tiny.cases()) {
        images.push_back(features_of(model, one));
        prompts.push_back(prompt_of(one));
    }
    for (std::size_t i = 0; i < prompts.size(); ++i)
        requests.push_back({.images = images[i], .prompt = prompts[i], .options = options_of(tiny.cases().at(i))});
    requests.push_back({.images = images[0], .prompt = prompts[1], .options = {.max_new_tokens = 3}});
    requests.push_back({.images = images[1], .prompt = prompts[0], .options = {.max_new_tokens = 9}});
    requests.back().options.sampling.temperature = 1.5f;
    requests.back().options.sampling.seed = 7;
    const auto together = model.generate(requests);
    BOOST_REQUIRE(together.size() == requests.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) check_answer(together[i], tiny.cases().at(i), tiny.tolerance("logprob"));
    for (std::size_t i = prompts.size(); i < requests.size(); ++i) {
        const auto alone = model.generate(requests[i]);
        BOOST_TEST((together[i].tokens == alone.tokens));
        BOOST_TEST(together[i].text == alone.text);
    }
    BOOST_TEST(model.generate(std::span<const pali::request>{}).empty());
}

/// The default weights, bf16, give the same tokens while each margin exceeds the rounding error.
BOOST_DATA_TEST_CASE(bf16_answers, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    pali::model<> model(tiny.folder());
    const auto got = model.generate(images_of(one), prompt_of(one), options_of(one));
    const double rounding = 2 * 3 * one.at("bf16_logits_difference").get<double>(); // twice the bound of the stage tests
    std::size_t sure = 0;
    for (const auto& margin : one.at("margins")) {
        if (margin.get<double>() <= rounding) break;
        ++sure;
    }
    BOOST_REQUIRE(got.tokens.size() >= sure);
    for (std::size_t i = 0; i < sure; ++i) BOOST_TEST(got.tokens[i] == one.at("tokens").at(i).get<token>());
}

// ---- one image, many questions

/// An earlier port ran the vision tower again for every generated token.
BOOST_FIXTURE_TEST_CASE(the_vision_tower_runs_once, fixture) {
    const auto images_seen = [&](std::size_t count) {
        std::size_t calls = 0;
        pali::generate_options options{.max_new_tokens = count};
        options.on_progress = [&](std::string_view stage, double) {
            calls += stage == "image";
            return true;
        };
        model.generate(image, prompt, options);
        return calls;
    };
    BOOST_TEST(images_seen(1) > 0u);
    BOOST_TEST(images_seen(1) == images_seen(12));
}

BOOST_FIXTURE_TEST_CASE(features_are_computed_once_and_reused, fixture) {
    const auto features = model.encode(image);
    for (int again = 0; again < 2; ++again) {
        const auto got = model.generate(features, prompt, options_of(one));
        check_answer(got, one, tiny.tolerance("logprob"));
        BOOST_TEST(got.timings.image_s == 0.0);
    }
    BOOST_TEST(model.generate(image, prompt, options_of(one)).timings.image_s > 0.0);
}

BOOST_FIXTURE_TEST_CASE(features_of_another_model_are_refused, fixture) {
    exact_model other(tiny_model("gemma1_half").folder());
    const auto features = other.encode(image);
    BOOST_CHECK_EXCEPTION(model.generate(features, prompt), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
}

// ---- prompts as people write them

BOOST_FIXTURE_TEST_CASE(prompts_may_hold_what_the_model_adds_itself, fixture) {
    for (const std::string& written :
         {prompt, "<image>" + prompt, "<image> " + prompt, prompt + "\n", "<image>" + prompt + "\n", "<bos>" + prompt}) {
        const auto got = model.generate(image, written, options_of(one));
        check_tokens(got.prompt_tokens, one.at("prompt_tokens"), written);
        check_tokens(got.tokens, one.at("tokens"), written);
    }
}

BOOST_DATA_TEST_CASE(a_prompt_is_bos_text_and_a_newline_apart, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    const auto got = model.generate(images_of(one), prompt_of(one), {.max_new_tokens = 1}).prompt_tokens;
    check_tokens(got, one.at("prompt_tokens"), "prompt");
    BOOST_TEST(got.front() == model.text().bos());
    BOOST_TEST(std::count(got.begin(), got.end(), model.text().bos()) == 1);
    BOOST_TEST(got.back() == model.text().newline());
    BOOST_TEST(std::count(got.begin(), got.end(), tiny.about.at("image_token").get<token>()) == 0);
}

// ---- streaming and stopping

/// Pieces are complete UTF-8 characters, keep leading spaces and add up to the text. An earlier port decoded id by id and lost the spaces.
BOOST_DATA_TEST_CASE(streamed_text_keeps_its_spaces, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    exact_model model(tiny.folder());
    std::string streamed;
    std::vector<token> tokens;
    std::vector<float> logprobs;
    pali::generate_options options = options_of(one);
    options.on_text = [&](std::string_view piece) {
        streamed += piece;
        return true;
    };
    options.on_token = [&](token id, float logprob) {
        tokens.push_back(id);
        logprobs.push_back(logprob);
        return true;
    };
    const auto got = model.generate(images_of(one), prompt_of(one), options);
    BOOST_TEST(streamed == one.at("text").get<std::string>());
    BOOST_TEST((tokens == got.tokens));
    BOOST_TEST((logprobs == got.logprobs));
}

BOOST_AUTO_TEST_CASE(the_goldens_have_texts_that_begin_with_a_space) {
    std::size_t found = 0;
    for (const model_case& which : model_cases())
        found += tiny_model(which.model).cases().at(which.number).at("text").get<std::string>().starts_with(' ');
    BOOST_TEST(found >= 3u);
}

BOOST_FIXTURE_TEST_CASE(a_callback_stops_at_the_token, fixture) {
    for (std::size_t wanted = 1; wanted <= 4; ++wanted) {
        std::size_t seen = 0;
        pali::generate_options options = options_of(one);
        options.on_token = [&](token, float) { return ++seen < wanted; };
        const auto got = model.generate(image, prompt, options);
        BOOST_TEST(pali::to_string(got.finish) == "cancelled");
        BOOST_TEST(seen == wanted);
        BOOST_TEST(got.tokens.size() == wanted);
        BOOST_TEST((std::vector<token>(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(wanted)) == got.tokens));
        BOOST_TEST(got.logprobs.size() == wanted);
    }
    pali::generate_options options = options_of(one);
    std::size_t pieces = 0;
    options.on_text = [&](std::string_view) { return ++pieces < 2; };
    const auto got = model.generate(image, prompt, options);
    BOOST_TEST(pali::to_string(got.finish) == "cancelled");
    BOOST_TEST(pieces == 2u);
    BOOST_TEST(one.at("text").get<std::string>().starts_with(got.text));
    check_answer(model.generate(image, prompt, options_of(one)), one, tiny.tolerance("logprob")); // no state is left behind
}

BOOST_FIXTURE_TEST_CASE(a_callback_stops_before_and_inside_the_image_and_the_prompt, fixture) {
    for (const std::string_view stage : {"image", "prefill"}) {
        std::vector<double> all;
        pali::generate_options options = options_of(one);
        options.on_progress = [&](std::string_view name, double done) {
            if (name == stage) all.push_back(done);
            return true;
        };
        model.generate(image, prompt, options);
        BOOST_TEST(all.size() >= 3u, "progress of " << stage << " is reported inside too");
        BOOST_TEST((all.front() == 0.0) == (stage == "image"));
        BOOST_TEST(std::is_sorted(all.begin(), all.end()));
        BOOST_TEST(all.back() < 1.0);
        for (std::size_t stop = 1; stop <= all.size(); ++stop) {
            std::size_t calls = 0;
            options.on_progress = [&](std::string_view name, double) { return name != stage || ++calls < stop; };
            const auto got = model.generate(image, prompt, options);
            BOOST_TEST(pali::to_string(got.finish) == "cancelled");
            BOOST_TEST(calls == stop, "nothing is reported after a stop");
            BOOST_TEST(got.tokens.empty());
            BOOST_TEST(got.text.empty());
            check_tokens(got.prompt_tokens, one.at("prompt_tokens"), "prompt");
        }
    }
    check_answer(model.generate(image, prompt, options_of(one)), one, tiny.tolerance("logprob"));
}

/// Every call reports its progress, including the tokens, on one scale, which starts at 0, never decreases and ends at 1.
BOOST_FIXTURE_TEST_CASE(progress_is_one_scale_over_the_whole_call, fixture) {
    const std::vector<pali::image> three(3, image);
    const std::vector<pali::image_features> seen(2, model.encode(image));
    std::vector<std::pair<std::string, double>> all;
    pali::generate_options options = options_of(one);
    options.on_progress = [&](std::string_view stage, double done) { return all.emplace_back(stage, done), true; };
    pali::generate_options search = options;
    search.num_beams = 2;
    const std::vector<pali::request> requests{{.images = std::span(&seen[0], 1), .prompt = prompt},
                                              {.images = std::span(&seen[1], 1), .prompt = prompt, .options = options}};
    const std::pair<std::vector<std::string>, std::function<void()>> calls[] = {
        {{"image", "prefill", "decode"}, [&] { model.generate(image, prompt, options); }},
        {{"image", "prefill", "decode"}, [&] { model.generate_each(three, prompt, options); }},
        {{"prefill", "decode"}, [&] { model.generate(requests); }},
        {{"image", "prefill", "search"}, [&] { model.generate(image, prompt, search); }},
        {{"image", "prefill", "search"}, [&] { model.generate_each(three, prompt, search); }},
        {{"image", "prefill", "decode"}, [&] { model.detect_each(three, "cat", {.generate = options}); }},
    };
    for (const auto& [stages, call] : calls) {
        all.clear();
        call();
        std::vector<std::string> names;
        for (const auto& [stage, done] : all)
            if (std::find(names.begin(), names.end(), stage) == names.end()) names.push_back(stage);
        BOOST_TEST(names == stages, boost::test_tools::per_element());
        BOOST_TEST(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
        BOOST_TEST((all.front().second == 0.0 && all.back().second == 1.0));
    }
    all.clear();
    (void)model.encode(image, options.on_progress);
    BOOST_TEST((all.front().second == 0.0 && all.back().second == 1.0));
}

BOOST_FIXTURE_TEST_CASE(callbacks_of_several_answers_say_which_they_are_about, fixture) {
    const std::vector<pali::image> three(3, image);
    std::vector<std::string> texts(3);
    std::vector<std::vector<token>> said(3);
    pali::generate_options options = options_of(one);
    options.on_text = [&](std::size_t which, std::string_view piece) { return texts.at(which) += piece, true; };
    options.on_token = [&](std::size_t which, token id, float) { return said.at(which).push_back(id), true; };
    for (const std::size_t beams : {std::size_t{1}, std::size_t{2}}) {
        texts.assign(3, ""), said.assign(3, {});
        options.num_beams = beams;
        const auto got = model.generate_each(three, prompt, options);
        for (std::size_t i = 0; i < 3; ++i) {
            BOOST_TEST(texts[i] == got[i].text);
            BOOST_TEST((said[i] == got[i].tokens));
        }
    }
}

/// If any callback of any request returns false, no further callback is called, and every answer ends with the tokens it has.
BOOST_FIXTURE_TEST_CASE(one_false_stops_everything_that_a_call_does, fixture) {
    const std::vector<pali::image> three(3, image);
    const auto whole = model.generate_each(three, prompt, options_of(one));
    for (std::size_t stop = 1; stop <= 6; ++stop) { // the first token of each of the three answers, then one step for all
        std::size_t calls = 0;
        pali::generate_options options = options_of(one);
        options.on_token = [&](std::size_t, token, float) { return ++calls < stop; };
        options.on_progress = [&](std::string_view, double) { return calls += calls >= stop, true; };
        const auto got = model.generate_each(three, prompt, options);
        BOOST_TEST(calls == stop);
        for (std::size_t i = 0; i < 3; ++i) {
            BOOST_TEST(pali::to_string(got[i].finish) == "cancelled");
            BOOST_TEST(got[i].tokens.size() == stop / 3 + (i < stop % 3 ? 1 : 0));
            BOOST_TEST(std::equal(got[i].tokens.begin(), got[i].tokens.end(), whole[i].tokens.begin()));
            BOOST_TEST((got[i].prompt_tokens == whole[i].prompt_tokens));
        }
    }
    std::size_t calls = 0;
    pali::generate_options options = options_of(one);
    options.on_progress = [&](std::string_view stage, double) { return stage != "decode" || ++calls < 2; };
    for (const pali::generation& got : model.generate_each(three, prompt, options)) {
        BOOST_TEST(pali::to_string(got.finish) == "cancelled");
        BOOST_TEST(got.tokens.size() == 2u);
    }
    BOOST_TEST(calls == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_model_cannot_be_asked_from_its_own_callback, fixture) {
    exact_model other(tiny.folder());
    const auto refused = [](const pali::error& e) {
        return e.code() == pali::errc::invalid_argument && std::string(e.what()).find("callback") != std::string::npos;
    };
    std::size_t tried = 0;
    pali::generate_options options = options_of(one);
    options.max_new_tokens = 2;
    options.on_token = [&](token, float) {
        ++tried;
        BOOST_CHECK_EXCEPTION((void)model.generate(image, prompt), pali::error, refused);
        BOOST_CHECK_EXCEPTION((void)model.encode(image), pali::error, refused);
        BOOST_CHECK_EXCEPTION((void)model.score(image, prompt, "a"), pali::error, refused);
        check_answer(other.generate(image, prompt, options_of(one)), one, tiny.tolerance("logprob")); // another model may be used
        return true;
    };
    (void)model.generate(image, prompt, options);
    BOOST_TEST(tried == 2u);
    options.on_token = [&](token, float) -> bool { throw std::runtime_error("out of the callback"); };
    BOOST_CHECK_THROW((void)model.generate(image, prompt, options), std::runtime_error);
    check_answer(model.generate(image, prompt, options_of(one)), one,
                 tiny.tolerance("logprob")); // this model may be used again after an exception
}

BOOST_FIXTURE_TEST_CASE(a_callback_stops_a_beam_search_between_rounds, fixture) {
    pali::generate_options options = options_of(one);
    options.num_beams = 3;
    const auto whole = model.generate(image, prompt, options);
    for (const std::size_t wanted : {1u, 2u, 4u}) {
        std::size_t rounds = 0, told = 0;
        options.on_progress = [&](std::string_view stage, double) { return stage != "search" || rounds++ < wanted - 1; };
        options.on_token = [&](token, float) { return ++told, true; };
        const auto got = model.generate(image, prompt, options);
        BOOST_TEST(pali::to_string(got.finish) == "cancelled");
        BOOST_TEST(rounds == wanted);
        BOOST_TEST(got.tokens.size() == wanted);
        BOOST_TEST(got.logprobs.size() == wanted);
        BOOST_TEST(told == 0u);
    }
    options.on_progress = {};
    options.on_token = {};
    BOOST_TEST(model.generate(image, prompt, options).tokens == whole.tokens); // no state is left behind
}

BOOST_FIXTURE_TEST_CASE(options_are_checked_before_any_work, fixture) {
    pali::generate_options options = options_of(one);
    options.num_beams = 2, options.sampling.temperature = 1;
    bool worked = false;
    options.on_progress = [&](std::string_view, double) { return worked = true; };
    BOOST_CHECK_EXCEPTION((void)model.generate(image, prompt, options), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
    BOOST_TEST(!worked);
}

BOOST_AUTO_TEST_CASE(a_file_of_weights_stands_for_its_folder) {
    const std::filesystem::path folder = pali::test::source_path("examples/models/shapes");
    const pali::image photo = pali::read_image(folder / "images" / "cross_and_ring.png");
    exact_model by_folder(folder), by_file(folder / "model.safetensors");
    BOOST_TEST(by_file.caption(photo) == by_folder.caption(photo));
    BOOST_TEST(by_file.segment(photo, "red cross").size() == 1u); // the mask decoder is found as well
}

BOOST_FIXTURE_TEST_CASE(loading_can_be_stopped, fixture) {
    pali::load_options options;
    std::size_t calls = 0;
    options.on_progress = [&](std::string_view stage, double) {
        calls += stage == "load";
        return true;
    };
    exact_model loaded(tiny.folder(), options);
    BOOST_TEST(calls > 0u);
    options.on_progress = [](std::string_view, double) { return false; };
    BOOST_CHECK_EXCEPTION(exact_model(tiny.folder(), options), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::cancelled; });
}

BOOST_FIXTURE_TEST_CASE(the_limit_is_kept, fixture) {
    for (const std::size_t limit : std::vector<std::size_t>{1, 2, 7}) {
        const auto got = model.generate(image, prompt, {.max_new_tokens = limit});
        BOOST_TEST(got.tokens.size() == limit);
        BOOST_TEST(pali::to_string(got.finish) == "length");
        BOOST_TEST((std::vector<token>(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(limit)) == got.tokens));
    }
}

// ---- sampling

BOOST_FIXTURE_TEST_CASE(a_seed_makes_a_sample_again, fixture) {
    const auto sample = [&](std::uint64_t seed, std::size_t threads) {
        exact_model loaded(tiny.folder(), {.threads = threads});
        pali::generate_options options = options_of(one);
        options.sampling.temperature = 1;
        options.sampling.seed = seed;
        return loaded.generate(image, prompt, options).tokens;
    };
    BOOST_TEST((sample(1, 1) == sample(1, 3)));
    BOOST_TEST((sample(1, 1) != sample(2, 1) || sample(1, 1) != sample(3, 1)));
    BOOST_TEST((sample(4, 1) != tokens || sample(5, 1) != tokens), "a temperature of 1 is not greedy");
}

BOOST_FIXTURE_TEST_CASE(the_best_token_alone_is_greedy, fixture) {
    pali::generate_options options = options_of(one);
    options.sampling.temperature = 1;
    options.sampling.top_k = 1;
    check_tokens(model.generate(image, prompt, options).tokens, one.at("tokens"), "top_k 1");
}

// ---- models side by side

/// There is no shared state. Two models in two threads, and two threads on one model, give the same answers as alone.
BOOST_FIXTURE_TEST_CASE(models_and_threads_do_not_disturb_each_other, fixture) {
    exact_model other(tiny.folder(), {.threads = 1});
    std::vector<std::vector<token>> got(4);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < got.size(); ++i)
        threads.emplace_back([&, i] {
            for (int again = 0; again < 3; ++again) got[i] = (i % 2 ? other : model).generate(image, prompt, options_of(one)).tokens;
        });
    for (std::thread& thread : threads) thread.join();
    for (const auto& said : got) check_tokens(said, one.at("tokens"), "tokens");
}

#if defined(__unix__)
/// fork() does not copy threads, so in the child a call, and the destructor, would wait for them forever.
BOOST_FIXTURE_TEST_CASE(a_model_in_a_child_after_fork_is_an_error, fixture) {
    auto shared = std::make_unique<exact_model>(tiny.folder(), pali::load_options{.threads = 2});
    const auto alone = shared->generate(image, prompt, options_of(one)).tokens;
    const pid_t child = fork();
    BOOST_TEST_REQUIRE(child >= 0);
    if (child == 0) {
        alarm(60); // ends a child that hangs
        int status = 1;
        try {
            shared->generate(image, prompt, options_of(one));
        } catch (const pali::error& e) {
            status = e.code() == pali::errc::forked_process ? 0 : 2;
        }
        shared.reset();
        // A model loaded in the child works.
        if (status == 0 && exact_model(tiny.folder(), {.threads = 2}).generate(image, prompt, options_of(one)).tokens != alone) status = 3;
        _exit(status);
    }
    int status = -1;
    BOOST_TEST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
    BOOST_TEST(shared->generate(image, prompt, options_of(one)).tokens == alone, boost::test_tools::per_element());
}
#endif

BOOST_FIXTURE_TEST_CASE(a_model_tells_what_it_is, fixture) {
    BOOST_TEST(model.config().hidden == tiny.about.at("config").at("hidden").get<std::size_t>());
    BOOST_TEST(model.checkpoint().image_token == tiny.about.at("image_token").get<token>());
    BOOST_TEST(model.arch().starts_with(pali::arch::name_of(pali::arch::selected().level->which)));
    BOOST_TEST(model.load_seconds() > 0.0);
    BOOST_TEST(exact_model(tiny.folder(), {.threads = 3}).threads() == 3u);
}

BOOST_AUTO_TEST_SUITE_END()
