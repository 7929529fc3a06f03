// Regression tests for errors of earlier PaliGemma ports. Each test names one error. The goldens are from transformers. The second half of
// the file shows that the goldens detect such errors.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "parts.ipp"

#include <pali/config/paligemma_config.hpp>

#include <cmath>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace {

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::token;

std::vector<token> tokens_of(const json& list) { return list.get<std::vector<token>>(); }

/// Whether two runs differ by more than rounding in some row of [first, last).
bool rows_differ(const std::vector<float>& a, const std::vector<float>& b, std::size_t width, std::size_t first, std::size_t last) {
    const auto part = [&](const std::vector<float>& v) { return std::span(v).subspan(first * width, (last - first) * width); };
    return worst_difference(part(a), part(b)).absolute > 0;
}

} // namespace

BOOST_AUTO_TEST_SUITE(mistakes)

// ---- images and embeddings

/// Image features are neither divided nor multiplied by the square root of the decoder's width or of the top-level hidden_size.
BOOST_DATA_TEST_CASE(image_features_are_not_scaled, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const json& one = tiny.cases().at(0);
    const auto got = model.read(model.features(one.at("images")), tokens_of(one.at("prompt_tokens"))).at("embeddings");
    const auto want = tiny.goldens.floats("image.wide.projected");
    check_close(std::span(got).first(want.size()), want, tiny.tolerance("projected"), "image rows");
}

/// Embeddings are scaled by the square root of the decoder's width in float32. In bf16 the root would have an error of up to 0.2 %.
BOOST_DATA_TEST_CASE(token_embeddings_are_scaled_by_an_unrounded_root, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const json& one = tiny.cases().at(0);
    const auto prompt = tokens_of(one.at("prompt_tokens"));
    const auto got = model.read(model.features(one.at("images")), prompt).at("embeddings");
    const std::size_t hidden = model.net.config.hidden;
    const auto want = tiny.goldens.floats("case.0.embeddings");
    const auto last = last_rows(want, prompt.size(), hidden);
    check_close(last_rows(got, prompt.size(), hidden), last, 1e-6, "token rows");
    const float root = std::sqrt(static_cast<float>(hidden));
    const double rounding = std::abs(static_cast<float>(pali::core::bfloat16(root)) / root - 1);
    if (rounding > 0) {
        const float largest =
            std::abs(*std::max_element(last.begin(), last.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
        BOOST_TEST(largest * rounding > 1e-5, "the golden would notice a rounded root");
    }
}

/// Two images become two runs of image tokens, in the given order, before BOS.
BOOST_DATA_TEST_CASE(several_images_stand_one_after_the_other, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const json& one = tiny.cases().at(2);
    const auto prompt = tokens_of(one.at("prompt_tokens"));
    auto images = model.features(one.at("images"));
    BOOST_REQUIRE(images.size() == 2u);
    const auto got = model.read(images, prompt);
    auto want = tiny.goldens.floats("image.wide.projected");
    const auto second = tiny.goldens.floats("image.small.projected");
    want.insert(want.end(), second.begin(), second.end());
    check_close(std::span(got.at("embeddings")).first(want.size()), want, tiny.tolerance("projected"), "image rows");
    std::swap(images[0], images[1]);
    const auto swapped = model.read(images, prompt);
    const std::size_t vocab = model.net.config.vocab;
    const difference d = worst_difference(last_rows(swapped.at("logits"), 1, vocab), last_rows(got.at("logits"), 1, vocab));
    BOOST_TEST(d.absolute > 10 * tiny.tolerance("logits"), "the order of images matters");
}

/// The image token need not be in the embedding table. If it is, its row is never used.
BOOST_AUTO_TEST_CASE(the_image_token_is_not_looked_up) {
    const tiny_model tiny("gemma2_head");
    BOOST_TEST(tiny.about.at("image_token").get<std::size_t>() >= tiny.about.at("config").at("vocab").get<std::size_t>());
    parts<> model(tiny.folder());
    const json& one = tiny.cases().at(0);
    BOOST_CHECK_NO_THROW(model.read(model.features(one.at("images")), tokens_of(one.at("prompt_tokens"))));
}

// ---- the mask

/// The prefix is bidirectional: its first token attends to its last. The suffix is causal: a token does not attend to later ones.
BOOST_DATA_TEST_CASE(prompts_see_each_other_and_answers_do_not_look_ahead, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const json& one = tiny.cases().at(0);
    const auto images = model.features(one.at("images"));
    auto prompt = tokens_of(one.at("prompt_tokens"));
    auto answer = tokens_of(one.at("answer").at("tokens"));
    const std::size_t hidden = model.net.config.hidden, prefix = tiny.image_tokens() + prompt.size();
    const auto before = model.read(images, prompt, answer).at("norm");

    const std::size_t changed = answer.size() / 2;
    answer[changed] = answer[changed] == 300 ? 301 : 300;
    const auto after = model.read(images, prompt, answer).at("norm");
    BOOST_TEST(!rows_differ(before, after, hidden, 0, prefix + changed), "an answer is seen by what came before it");
    BOOST_TEST(rows_differ(before, after, hidden, prefix + changed, prefix + changed + 1));

    prompt[prompt.size() - 2] = prompt[prompt.size() - 2] == 300 ? 301 : 300;
    const auto other = model.read(images, prompt, answer).at("norm");
    for (std::size_t row = 0; row < prefix; ++row)
        BOOST_TEST(rows_differ(after, other, hidden, row, row + 1), "row " << row << " of the prefix does not see the prompt");
}

/// The sliding window hides from a suffix token everything `window` or more positions back. It never hides one part of the prefix from
/// another.
BOOST_AUTO_TEST_CASE(a_window_hides_the_image_from_the_answer_and_not_from_the_prompt) {
    const pali::kernels::prefix_mask mask{.prefix = 17, .window = 5};
    for (std::size_t row = 0; row < 17; ++row) BOOST_TEST((mask(row).begin == 0u && mask(row).end == 17u));
    for (std::size_t row = 17; row < 40; ++row) BOOST_TEST((mask(row).begin == row + 1 - 5 && mask(row).end == row + 1));
    const pali::kernels::prefix_mask none{.prefix = 17, .window = 0};
    BOOST_TEST((none(30).begin == 0u && none(30).end == 31u));
}

// ---- head, names, kinds of checkpoint

/// The goldens cover an absent head, one equal to the embedding table, and a separate one.
BOOST_AUTO_TEST_CASE(an_absent_head_is_the_embedding_and_one_of_its_own_is_used) {
    const auto head = [](const std::string& name) {
        parts<> model(tiny_model(name).folder());
        return model.net.decoder.head.weight.data != nullptr;
    };
    BOOST_TEST(!head("gemma2_window"));
    BOOST_TEST(!head("gemma2_head"));
    BOOST_TEST(head("gemma2_untied"));
}

/// Tensors with the names of every version of transformers are read; see tests/golden/README.md.
BOOST_AUTO_TEST_CASE(all_layouts_of_names_are_read) {
    std::set<std::string> layouts;
    for (const std::string& name : model_names()) {
        const tiny_model tiny(name);
        layouts.insert(tiny.about.at("layout"));
        BOOST_CHECK_NO_THROW(parts<>(tiny.folder()));
    }
    BOOST_TEST(layouts.size() == 4u);
}

/// PaliGemma 2 weights are rejected by PaliGemma 1 code, and vice versa, instead of generating garbage.
BOOST_AUTO_TEST_CASE(weights_of_the_other_generation_are_refused) {
    for (const std::string name : {"gemma2_window", "gemma1_half"}) {
        const tiny_model tiny(name);
        auto config = pali::read_checkpoint_config(tiny.folder());
        config.sizes.post_norms = !config.sizes.post_norms;
        BOOST_CHECK_EXCEPTION(parts<>(tiny.folder(), config), pali::error, [](const pali::error& e) {
            return e.code() == pali::errc::checkpoint_mismatch && std::string(e.what()).find("feedforward_layernorm") != std::string::npos;
        });
        BOOST_CHECK_EXCEPTION(parts<pali::paligemma2_3b_224>(tiny.folder()), pali::error,
                              [](const pali::error& e) { return e.code() == pali::errc::config_mismatch; });
    }
}

/// float16 is only a storage format. Results are finite and equal those with float32 (gemma1_half and gemma2_head in the stage tests).
BOOST_AUTO_TEST_CASE(half_floats_are_storage_only) {
    for (const std::string name : {"gemma1_half", "gemma2_head"}) {
        const tiny_model tiny(name);
        BOOST_TEST(tiny.about.at("stored").get<std::string>() == "f16");
        parts<> model(tiny.folder());
        const json& one = tiny.cases().at(0);
        for (const auto& [stage, values] : model.read(model.features(one.at("images")), tokens_of(one.at("prompt_tokens"))))
            BOOST_TEST(std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }), stage);
    }
}

/// The final softcap applies to every logit, including those of the first token.
BOOST_DATA_TEST_CASE(the_final_softcap_holds_for_the_first_token_too, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const float cap = model.net.config.final_softcap;
    if (cap == 0) return;
    const json& one = tiny.cases().at(0);
    const auto logits = model.read(model.features(one.at("images")), tokens_of(one.at("prompt_tokens"))).at("logits");
    BOOST_TEST(std::all_of(logits.begin(), logits.end(), [&](float x) { return std::abs(x) <= cap; }));
}

// ---- the goldens are sensitive: with one wrong value in the configuration, logits exceed the tolerance

namespace {

struct wrong_number {
    const char* model;
    const char* what;
    std::function<void(pali::dynamic&)> change;
    friend std::ostream& operator<<(std::ostream& out, const wrong_number& w) { return out << w.what << " in " << w.model; }
};

std::vector<wrong_number> wrong_numbers() {
    using c = pali::dynamic;
    return {
        {"gemma2_window", "query scale of head_dim", [](c& x) { x.query_pre_attn_scalar = static_cast<float>(x.head_dim); }},
        {"gemma2_head", "query scale of head_dim", [](c& x) { x.query_pre_attn_scalar = static_cast<float>(x.head_dim); }},
        {"gemma2_defaults", "query scale of hidden / heads",
         [](c& x) { x.query_pre_attn_scalar = static_cast<float>(x.hidden / x.heads); }},
        {"gemma2_window", "no attention softcap", [](c& x) { x.attention_softcap = 0; }},
        {"gemma2_untied", "attention softcap of 50", [](c& x) { x.attention_softcap = 50; }},
        {"gemma2_window", "no final softcap", [](c& x) { x.final_softcap = 0; }},
        {"gemma2_window", "final softcap of 30", [](c& x) { x.final_softcap = 30; }},
        {"gemma1_half", "a final softcap", [](c& x) { x.final_softcap = 30; }},
        {"gemma2_window", "no window", [](c& x) { x.windows.assign(x.layers, 0); }},
        {"gemma2_window", "a window on every layer", [](c& x) { x.windows.assign(x.layers, 5); }},
        {"gemma2_window", "windows on odd layers", [](c& x) { x.windows = {0, 5, 0, 5}; }},
        {"gemma2_window", "a window wider by one", [](c& x) { x.windows = {6, 0, 6, 0}; }},
        {"gemma2_window", "a window narrower by one", [](c& x) { x.windows = {4, 0, 4, 0}; }},
        {"gemma2_head", "windows that alternate against layer_types", [](c& x) { x.windows = {6, 0, 6}; }},
        {"gemma2_grouped", "rope base 10000", [](c& x) { x.rope_theta = 10000; }},
        {"gemma1_renamed", "rope base 10000", [](c& x) { x.rope_theta = 10000; }},
        {"gemma2_head", "rope base 10000", [](c& x) { x.rope_theta = 10000; }},
        {"gemma2_grouped", "another epsilon", [](c& x) { x.norm_eps = 1e-3f; }},
    };
}

} // namespace

BOOST_DATA_TEST_CASE(goldens_notice_a_wrong, bdata::make(wrong_numbers()), wrong) {
    const tiny_model tiny(wrong.model);
    auto config = pali::read_checkpoint_config(tiny.folder());
    wrong.change(config.sizes);
    parts<> model(tiny.folder(), config);
    const json& one = tiny.cases().at(0);
    const auto tokens = tokens_of(one.at("tokens"));
    const auto logits =
        model.read(model.features(one.at("images")), tokens_of(one.at("prompt_tokens")), std::span(tokens).first(tokens.size() - 1))
            .at("logits");
    const auto want = tiny.goldens.floats("case.0.decode_logits");
    BOOST_TEST(worst_difference(std::span(logits).last(want.size()), want).absolute > 10 * tiny.tolerance("logits"));
}

BOOST_AUTO_TEST_SUITE_END()
