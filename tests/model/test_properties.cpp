// Settings that must not change a result: threads, residency, static or dynamic configuration, the rest of a batch, and how a prompt is
// processed.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "parts.ipp"

#include <pali/config/paligemma_config.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

namespace {

namespace bdata = boost::unit_test::data;
using namespace pali::test;
using pali::token;

// gemma2_window and gemma1_half of tests/golden/models.py as user-defined types.
struct tiny_vision {
    static constexpr std::size_t image_size = 42, patch_size = 14, hidden = 36, layers = 3, intermediate = 83, heads = 3;
    static constexpr float norm_eps = 1e-6f;
};
struct tiny_gemma2 : pali::gemma2_family {
    static constexpr std::size_t vocab = 424, hidden = 30, layers = 4, intermediate = 37, heads = 3, kv_heads = 3, head_dim = 10;
    static constexpr float query_pre_attn_scalar = 7, attention_softcap = 3, final_softcap = 6;
    [[nodiscard]] static constexpr std::size_t window(std::size_t layer) noexcept { return layer % 2 == 0 ? 5 : 0; }
};
struct compiled_window : pali::paligemma2<tiny_gemma2, tiny_vision> {};

struct half_vision : tiny_vision {
    static constexpr std::size_t layers = 2;
};
struct half_gemma : pali::gemma_family {
    static constexpr std::size_t vocab = 424, hidden = 44, layers = 3, intermediate = 37, heads = 4, kv_heads = 1, head_dim = 48;
    static constexpr float query_pre_attn_scalar = 48;
};
struct compiled_half : pali::paligemma<half_gemma, half_vision> {};

/// All outputs for a prompt and its greedy answer.
template <class Parts>
outputs everything(Parts& model, const json& one) {
    const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
    const auto tokens = one.at("tokens").get<std::vector<token>>();
    const auto images = model.features(one.at("images"));
    pali::nn::kv_cache cache(model.net.config, model.room(images, prompt.size() + tokens.size()));
    outputs all = model.read(images, prompt, {}, cache);
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
        for (auto& [stage, values] : model.add(tokens[i], cache)) all[stage + " after " + std::to_string(i)] = std::move(values);
    all["whole"] = model.read(images, prompt, tokens).at("logits");
    return all;
}

void check_same_bits(const outputs& got, const outputs& want) {
    BOOST_REQUIRE(got.size() == want.size());
    for (const auto& [stage, values] : want) BOOST_TEST((got.at(stage) == values), stage << " differs");
}

} // namespace

BOOST_AUTO_TEST_SUITE(properties)

BOOST_DATA_TEST_CASE(any_number_of_threads_gives_the_same_bits, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    for (const json& one : tiny.cases()) {
        parts<> first(tiny.folder(), 1);
        parts<pali::dynamic, pali::bf16> first_bf16(tiny.folder(), 1);
        const outputs want = everything(first, one), want_bf16 = everything(first_bf16, one);
        for (const std::size_t threads : std::vector<std::size_t>{2, 3, 5}) {
            parts<> other(tiny.folder(), threads);
            check_same_bits(everything(other, one), want);
            parts<pali::dynamic, pali::bf16> other_bf16(tiny.folder(), threads);
            check_same_bits(everything(other_bf16, one), want_bf16);
        }
    }
}

BOOST_DATA_TEST_CASE(mapped_equals_resident, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    const json& one = tiny.cases().at(0);
    parts<> mapped(tiny.folder(), 2, pali::residency::mapped), resident(tiny.folder(), 2, pali::residency::resident);
    check_same_bits(everything(resident, one), everything(mapped, one));
    parts<pali::dynamic, pali::bf16> mapped_bf16(tiny.folder(), 2, pali::residency::mapped),
        resident_bf16(tiny.folder(), 2, pali::residency::resident);
    check_same_bits(everything(resident_bf16, one), everything(mapped_bf16, one));
}

BOOST_AUTO_TEST_CASE(dynamic_equals_compiled) {
    for (const json& one : tiny_model("gemma2_window").cases()) {
        const tiny_model tiny("gemma2_window");
        parts<> read(tiny.folder());
        parts<compiled_window> compiled(tiny.folder());
        check_same_bits(everything(compiled, one), everything(read, one));
        parts<pali::dynamic, pali::bf16> read_bf16(tiny.folder());
        parts<compiled_window, pali::bf16> compiled_bf16(tiny.folder());
        check_same_bits(everything(compiled_bf16, one), everything(read_bf16, one));
    }
    for (const json& one : tiny_model("gemma1_half").cases()) {
        const tiny_model tiny("gemma1_half");
        parts<> read(tiny.folder());
        parts<compiled_half> compiled(tiny.folder());
        check_same_bits(everything(compiled, one), everything(read, one));
    }
}

/// A prompt leaves no state that affects the next one.
BOOST_DATA_TEST_CASE(a_model_keeps_nothing_of_an_earlier_question, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> used(tiny.folder());
    for (const json& one : tiny.cases()) {
        parts<> fresh(tiny.folder());
        check_same_bits(everything(used, one), everything(fresh, one));
    }
}

/// Sequences of different lengths give the same results when they are decoded together as when they are decoded alone.
BOOST_DATA_TEST_CASE(batch_equals_single, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    parts<> model(tiny.folder());
    const std::size_t vocab = model.net.config.vocab, count = tiny.cases().size();
    struct one_of_many {
        std::vector<token> tokens;
        outputs alone;
        pali::nn::kv_cache cache;
    };
    std::vector<one_of_many> batch;
    for (const json& one : tiny.cases()) {
        const auto prompt = one.at("prompt_tokens").get<std::vector<token>>();
        const auto tokens = one.at("tokens").get<std::vector<token>>();
        const auto images = model.features(one.at("images"));
        pali::nn::kv_cache cache(model.net.config, model.room(images, prompt.size() + tokens.size()));
        model.read(images, prompt, {}, cache);
        batch.push_back({tokens, everything(model, one), std::move(cache)});
    }
    const std::size_t steps =
        std::min_element(batch.begin(), batch.end(), [](const auto& a, const auto& b) { return a.tokens.size() < b.tokens.size(); })
            ->tokens.size() -
        1;
    BOOST_REQUIRE(steps >= 3u);
    for (std::size_t i = 0; i < steps; ++i) {
        std::vector<token> next;
        std::vector<pali::nn::kv_cache*> caches;
        for (one_of_many& each : batch) {
            next.push_back(each.tokens[i]);
            caches.push_back(&each.cache);
        }
        const std::vector<float> logits = model.add(next, caches).at("logits");
        for (std::size_t k = 0; k < count; ++k) {
            const auto row = std::span(logits).subspan(k * vocab, vocab);
            check_close(row, batch[k].alone.at("logits after " + std::to_string(i)), tiny.tolerance("logits"),
                        "sequence " + std::to_string(k) + ", step " + std::to_string(i));
            BOOST_TEST(most_likely(row) == batch[k].tokens[i + 1]);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
