#include <pali/generate/log_softmax.hpp>
#include <pali/generate/logits_processors.hpp>

#include <support/data.hpp>
#include <support/golden.hpp>

#include <boost/test/unit_test.hpp>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

using namespace pali::test;
using pali::token;

namespace {

std::vector<std::string> split(const std::string& name) {
    std::vector<std::string> out(1);
    for (const char c : name)
        if (c == '/') out.emplace_back();
        else out.back() += c;
    return out;
}

/// Checks that the tokens removed by transformers are removed and that all others are unchanged.
void check_kept(const std::string& name, const std::vector<float>& before, const std::vector<float>& after,
                const std::vector<std::int64_t>& kept) {
    BOOST_REQUIRE_EQUAL(after.size(), kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
        const float want = kept[i] != 0 ? before[i] : -std::numeric_limits<float>::infinity();
        if (std::bit_cast<std::uint32_t>(after[i]) != std::bit_cast<std::uint32_t>(want)) {
            BOOST_ERROR(name << ": at " << i << " (" << before[i] << ") got " << after[i] << ", want " << want);
            return;
        }
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(processors)

BOOST_AUTO_TEST_CASE(each_equals_transformers) {
    const golden g(data_path("sampling/processors.safetensors"));
    std::size_t warped = 0, processed = 0;
    for (const auto& [name, info] : g.tensors()) {
        const auto parts = split(name); // vocabulary / row / processor / value
        if (parts.size() != 4) continue;
        const std::vector<float> before = g.floats(parts[0] + "/" + parts[1] + "/logits");
        pali::decoding::processor_memory memory(before.size());
        std::vector<token> sequence;
        for (const std::int64_t id : g.ints(parts[0] + "/sequence")) sequence.push_back(static_cast<token>(id));
        const float value = std::stof(parts[3]);
        std::vector<float> after = before;
        const std::string& what = parts[2];
        if (what == "temperature" || what == "repetition_penalty" || what == "min_new_tokens") {
            if (what == "temperature") pali::decoding::apply_temperature(after, value);
            else if (what == "repetition_penalty") pali::decoding::penalise_repetition(after, sequence, value, memory);
            else pali::decoding::suppress(after, std::vector<token>{1, 7, 1000000, -1});
            const auto want = g.floats(name);
            BOOST_TEST(after == want, name); // one rounding per logit, so bit-exact
            ++processed;
        } else {
            if (what == "top_k") pali::decoding::keep_top_k(after, static_cast<std::size_t>(value), memory);
            else if (what == "top_p") pali::decoding::keep_top_p(after, value, memory);
            else if (what == "min_p") pali::decoding::keep_min_p(after, value, memory);
            else if (what == "typical_p") pali::decoding::keep_typical(after, value, memory);
            else BOOST_ERROR("no processor " << what);
            check_kept(name, before, after, g.ints(name));
            ++warped;
        }
        for (const auto mark : memory.marks)
            if (mark != 0) BOOST_ERROR(name << " leaves a mark");
    }
    BOOST_TEST(warped > 300u);
    BOOST_TEST(processed > 100u);
}

BOOST_AUTO_TEST_CASE(log_probabilities_and_argmax) {
    const golden g(data_path("sampling/processors.safetensors"));
    std::size_t seen = 0;
    for (const auto& [name, info] : g.tensors()) {
        const auto parts = split(name);
        if (parts.size() != 3) continue;
        const auto logits = g.floats(parts[0] + "/" + parts[1] + "/logits");
        if (parts[2] == "argmax") BOOST_TEST(pali::decoding::argmax(logits) == static_cast<std::size_t>(g.ints(name)[0]), name);
        if (parts[2] != "log_softmax") continue;
        const auto want = g.floats(name);
        std::vector<float> all(logits.size());
        pali::decoding::log_softmax(logits, all);
        for (std::size_t i = 0; i < want.size(); ++i) {
            const float got = pali::decoding::log_softmax_at(logits, static_cast<token>(i));
            // The golden is rounded from float64. exp in float32 is accurate to 6e-8, and there is one more rounding.
            const float allowed = 1e-7f + std::abs(want[i]) * 1.2e-7f;
            if (!(got == want[i] || std::abs(got - want[i]) <= allowed) || all[i] != got) {
                BOOST_ERROR(name << ": at " << i << " got " << got << ", want " << want[i]);
                break;
            }
        }
        ++seen;
    }
    BOOST_TEST(seen > 10u);
}

BOOST_AUTO_TEST_CASE(not_a_number_is_left_where_it_is) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    pali::decoding::processor_memory memory(6);
    const std::vector<float> before{1, nan, 3, nan, -1, 2};
    for (int what = 0; what < 4; ++what) {
        std::vector<float> logits = before;
        if (what == 0) pali::decoding::keep_top_k(logits, 2, memory);
        if (what == 1) pali::decoding::keep_top_p(logits, 0.5f, memory);
        if (what == 2) pali::decoding::keep_min_p(logits, 0.9f, memory);
        if (what == 3) pali::decoding::keep_typical(logits, 0.5f, memory);
        BOOST_TEST((std::isnan(logits[1]) && std::isnan(logits[3])), what);
    }
    BOOST_TEST(pali::decoding::argmax(before) == 1u);
    const std::vector<float> none(6, -std::numeric_limits<float>::infinity());
    std::vector<float> logits = none;
    pali::decoding::keep_top_k(logits, 2, memory);
    pali::decoding::keep_top_p(logits, 0.5f, memory);
    pali::decoding::keep_min_p(logits, 0.5f, memory);
    pali::decoding::keep_typical(logits, 0.5f, memory);
    BOOST_TEST(logits == none);
}

BOOST_AUTO_TEST_CASE(the_ends_of_float32) {
    const float inf = std::numeric_limits<float>::infinity();
    pali::decoding::processor_memory memory(4);
    for (const std::vector<float>& before : {std::vector<float>{3e38f, -3e38f, 1, 2}, {3e38f, 3e38f, -3e38f, -inf}, {inf, 1, inf, -inf}}) {
        const std::size_t best = pali::decoding::argmax(before);
        for (int what = 0; what < 4; ++what) {
            std::vector<float> logits = before;
            if (what == 0) pali::decoding::keep_top_k(logits, 2, memory);
            if (what == 1) pali::decoding::keep_top_p(logits, 0.9f, memory);
            if (what == 2) pali::decoding::keep_min_p(logits, 0.1f, memory);
            if (what == 3) pali::decoding::keep_typical(logits, 0.9f, memory);
            BOOST_TEST(logits[best] == before[best], what);
        }
    }
}

BOOST_AUTO_TEST_CASE(options_stand_for_what_was_written) {
    BOOST_TEST(pali::core::as_written(0.8f) == 0.8);
    BOOST_TEST(pali::core::as_written(0.1f) == 0.1);
    BOOST_TEST(pali::core::as_written(1.f) == 1.0);
    BOOST_TEST(pali::core::as_written(-2.5f) == -2.5);
}

BOOST_AUTO_TEST_SUITE_END()
