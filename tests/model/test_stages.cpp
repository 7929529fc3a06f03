// Compares vision tower, projector and decoder with transformers, stage by stage, on checkpoints of every kind, with float32 weights.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "parts.hpp"

#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace {

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::token;

std::string stage_of(const std::string& name) { return name.substr(0, name.find('.')); }

} // namespace

BOOST_AUTO_TEST_SUITE(stages)

BOOST_DATA_TEST_CASE(configuration_is_as_transformers_reads_it, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    const auto read = pali::read_checkpoint_config(tiny.folder());
    const auto& got = read.sizes;
    const json& want = tiny.about.at("config");
    const json have = {{"vision",
                        {{"image_size", got.vision.image_size},
                         {"patch_size", got.vision.patch_size},
                         {"hidden", got.vision.hidden},
                         {"layers", got.vision.layers},
                         {"intermediate", got.vision.intermediate},
                         {"heads", got.vision.heads}}},
                       {"vocab", got.vocab},
                       {"hidden", got.hidden},
                       {"layers", got.layers},
                       {"intermediate", got.intermediate},
                       {"heads", got.heads},
                       {"kv_heads", got.kv_heads},
                       {"head_dim", got.head_dim},
                       {"query_pre_attn_scalar", got.query_pre_attn_scalar},
                       {"attention_softcap", got.attention_softcap},
                       {"final_softcap", got.final_softcap},
                       {"rope_theta", got.rope_theta},
                       {"post_norms", got.post_norms},
                       {"windows", got.windows}};
    for (const auto& [key, value] : have.items()) {
        if (!value.is_object()) BOOST_TEST(value == want.at(key), key << ": got " << value << ", want " << want.at(key));
        else
            for (const auto& [inner, number] : value.items())
                BOOST_TEST(number == want.at(key).at(inner), key << "." << inner << ": got " << number);
    }
    BOOST_TEST(got.norm_eps == want.at("norm_eps").get<float>());
    BOOST_TEST(got.vision.norm_eps == want.at("vision").at("norm_eps").get<float>());
    BOOST_TEST(read.image_token == tiny.about.at("image_token").get<token>());
}

BOOST_DATA_TEST_CASE(images, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    for (const std::string image : {"wide", "tall", "small"}) {
        const std::string key = "image." + image + ".";
        if (tiny.goldens.has(key + "pixel_values"))
            check_close(pixels_of(model.config, image), tiny.goldens.floats(key + "pixel_values"), tiny.tolerance("pixel_values"),
                        key + "pixel_values");
        for (const auto& [stage, values] : model.see(image))
            if (tiny.goldens.has(key + stage))
                check_close(values, tiny.goldens.floats(key + stage), tiny.tolerance(stage_of(stage)), key + stage);
    }
}

BOOST_DATA_TEST_CASE(prompts, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    parts<> model(tiny.folder());
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    std::size_t compared = 0;
    for (const auto& [stage, values] : model.read(model.features(one.at("images")), prompt)) {
        const std::string key = "case." + std::to_string(which.number) + "." + stage;
        if (!tiny.goldens.has(key)) continue;
        const std::vector<float> want = tiny.goldens.floats(key);
        BOOST_REQUIRE(want.size() <= values.size());
        check_close(std::span(values).last(want.size()), want, tiny.tolerance(stage_of(stage)), key);
        ++compared;
    }
    BOOST_TEST(compared >= 3u);
}

/// Decoding token by token through the KV cache equals one pass over all tokens, also with windows shorter than the sequence.
BOOST_DATA_TEST_CASE(cached_decoding_equals_recomputing, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    parts<> model(tiny.folder());
    const auto images = model.features(one.at("images"));
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    const auto tokens = one.at("tokens").get<std::vector<token>>();
    const auto logprobs = one.at("logprobs").get<std::vector<double>>();
    const std::size_t hidden = model.net.config.hidden, vocab = model.net.config.vocab;
    const std::string key = "case." + std::to_string(which.number) + ".";

    pali::nn::kv_cache cache(model.net.config, model.room(images, prompt.size() + tokens.size()));
    std::vector<float> norms, logits;
    outputs step = model.read(images, prompt, {}, cache);
    for (std::size_t i = 0;; ++i) {
        const auto row = last_rows(step.at("logits"), 1, vocab);
        const auto norm = last_rows(step.at("norm"), 1, hidden);
        norms.insert(norms.end(), norm.begin(), norm.end());
        logits.insert(logits.end(), row.begin(), row.end());
        BOOST_TEST(most_likely(row) == tokens[i], "token " << i);
        BOOST_TEST(std::abs(logprob(row, tokens[i]) - logprobs[i]) <= tiny.tolerance("logprob"), "log-probability " << i);
        if (i + 1 == tokens.size()) break;
        step = model.add(tokens[i], cache);
    }
    check_close(norms, tiny.goldens.floats(key + "decode_norm"), tiny.tolerance("norm"), key + "decode_norm");
    if (tiny.goldens.has(key + "decode_logits"))
        check_close(logits, tiny.goldens.floats(key + "decode_logits"), tiny.tolerance("logits"), key + "decode_logits");

    const outputs whole = model.read(images, prompt, std::span(tokens).first(tokens.size() - 1));
    check_close(last_rows(whole.at("logits"), tokens.size(), vocab), logits, tiny.tolerance("logits"), key + "recomputed");
}

BOOST_DATA_TEST_CASE(answers_are_scored, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    parts<> model(tiny.folder());
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    const auto answer = one.at("answer").at("tokens").get<std::vector<token>>();
    const auto want = one.at("answer").at("logprobs").get<std::vector<double>>();
    const outputs whole = model.read(model.features(one.at("images")), prompt, std::span(answer).first(answer.size() - 1));
    const std::size_t vocab = model.net.config.vocab;
    const auto rows = last_rows(whole.at("logits"), answer.size(), vocab);
    for (std::size_t i = 0; i < answer.size(); ++i)
        BOOST_TEST(std::abs(logprob(rows.subspan(i * vocab, vocab), answer[i]) - want[i]) <= tiny.tolerance("logprob"),
                   "token " << i << " of the answer");
}

/// bf16 weights change logits by at most a few times the error that transformers makes if both operands of all products are rounded to
/// bf16. The tokens are the same if their margin exceeds that.
BOOST_DATA_TEST_CASE(bf16_weights_stay_within_their_rounding, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    parts<pali::dynamic, pali::bf16> rounded(tiny.folder());
    parts<> exact(tiny.folder());
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    const auto tokens = one.at("tokens").get<std::vector<token>>();
    const auto margins = one.at("margins").get<std::vector<double>>();
    const auto suffix = std::span(tokens).first(tokens.size() - 1);
    const std::size_t vocab = exact.net.config.vocab;
    const outputs got = rounded.read(rounded.features(one.at("images")), prompt, suffix),
                  want = exact.read(exact.features(one.at("images")), prompt, suffix);
    const double allowed = 3 * one.at("bf16_logits_difference").get<double>();
    const auto rows = last_rows(got.at("logits"), tokens.size(), vocab);
    const difference d = worst_difference(rows, last_rows(want.at("logits"), tokens.size(), vocab));
    BOOST_TEST(d.absolute <= allowed, d << "; allowed " << allowed);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto row = rows.subspan(i * vocab, vocab);
        if (margins[i] > 2 * d.absolute) BOOST_TEST(most_likely(row) == tokens[i], "token " << i);
    }
}

/// A bf16 KV cache changes logits by at most the error that transformers makes if both operands of all products are rounded to bf16. As
/// with a float32 cache, decoding token by token equals one pass.
BOOST_DATA_TEST_CASE(a_bf16_cache_stays_within_its_rounding, bdata::make(model_cases()), which) {
    const tiny_model tiny(which.model);
    const json& one = tiny.cases().at(which.number);
    parts<> model(tiny.folder());
    const auto images = model.features(one.at("images"));
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    const auto tokens = one.at("tokens").get<std::vector<token>>();
    const std::size_t vocab = model.net.config.vocab, room = model.room(images, prompt.size() + tokens.size());
    const auto suffix = std::span(tokens).first(tokens.size() - 1);
    const auto logits_with = [&](pali::kv_type type) {
        pali::nn::kv_cache cache(model.net.config, room, type);
        return model.read(images, prompt, suffix, cache).at("logits");
    };
    const std::vector<float> exact = logits_with(pali::kv_type::f32), rounded = logits_with(pali::kv_type::bf16);
    const difference d = worst_difference(last_rows(rounded, tokens.size(), vocab), last_rows(exact, tokens.size(), vocab));
    const double allowed = one.at("bf16_logits_difference").get<double>();
    BOOST_TEST(d.absolute <= allowed, d << "; allowed " << allowed);
    BOOST_TEST(d.absolute > 0); // no difference would mean that the cache is not bf16

    pali::nn::kv_cache cache(model.net.config, room, pali::kv_type::bf16);
    outputs step = model.read(images, prompt, {}, cache);
    for (std::size_t i = 0;; ++i) {
        check_close(last_rows(step.at("logits"), 1, vocab), last_rows(rounded, tokens.size(), vocab).subspan(i * vocab, vocab),
                    tiny.tolerance("logits"), "token " + std::to_string(i));
        if (i + 1 == tokens.size()) break;
        step = model.add(tokens[i], cache);
    }
}

/// With more tokens than one part of the MLP, processing all tokens together gives the same bits as one by one.
BOOST_AUTO_TEST_CASE(long_sequences_pass_the_mlp_in_parts) {
    const tiny_model tiny("gemma2_window");
    parts<> model(tiny.folder());
    const auto prompt = tiny.cases().at(0).at("prompt_tokens").get<std::vector<token>>();
    const auto images = model.features(tiny.cases().at(0).at("images"));
    std::vector<token> tokens;
    for (std::size_t i = 0; i < 1100; ++i) tokens.push_back(prompt[i * 7 % prompt.size()]);
    const std::size_t vocab = model.net.config.vocab;

    pali::nn::kv_cache cache(model.net.config, model.room(images, prompt.size() + tokens.size()));
    const std::vector<float> together = model.read(images, prompt, tokens).at("logits");
    outputs step = model.read(images, prompt, {}, cache);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        step = model.add(tokens[i], cache);
        const auto want = last_rows(step.at("logits"), 1, vocab), got = last_rows(together, tokens.size(), vocab).subspan(i * vocab, vocab);
        BOOST_TEST_REQUIRE((std::equal(want.begin(), want.end(), got.begin())), "token " << i);
    }
}

BOOST_AUTO_TEST_SUITE_END()
