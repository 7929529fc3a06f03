#include <pali/generate/sampler.hpp>

#include <support/data.hpp>
#include <support/golden.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

using namespace pali::test;
using pali::token;

namespace {

pali::sampling_options options_of(const nlohmann::json& c) {
    const auto& o = c["options"];
    pali::sampling_options out;
    out.temperature = c["sampled"] ? o.value("temperature", 1.f) : 0.f;
    out.top_k = o.value("top_k", std::size_t{0});
    out.top_p = o.value("top_p", 1.f);
    out.min_p = o.value("min_p", 0.f);
    out.typical_p = o.value("typical_p", 1.f);
    out.repetition_penalty = o.value("repetition_penalty", 1.f);
    out.seed = c.value("seed", std::uint64_t{0});
    return out;
}

std::string refusal(const pali::sampling_options& options) {
    try {
        options.validate();
        return "";
    } catch (const pali::error& e) {
        BOOST_TEST((e.code() == pali::errc::invalid_argument));
        return e.what();
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(sampler)

BOOST_AUTO_TEST_CASE(whole_sets_of_options_in_transformers_order) {
    const golden g(data_path("sampling/chains.safetensors"));
    std::ifstream in(data_path("sampling/chains.json"));
    const auto cases = nlohmann::json::parse(in)["cases"];
    BOOST_TEST(cases.size() >= 50u);
    for (std::size_t n = 0; n < cases.size(); ++n) {
        const auto& c = cases[n];
        const auto logits = g.floats(c["logits"].get<std::string>());
        const auto want = g.floats(std::to_string(n) + "/scores");
        const auto sequence = c["sequence"].get<std::vector<token>>();
        const auto suppressed = c["suppressed"].get<std::vector<token>>();
        const auto options = options_of(c);
        pali::decoding::sampler processing(options, logits.size());
        auto got = logits;
        processing.process(got, sequence, suppressed);
        for (std::size_t i = 0; i < want.size(); ++i)
            if (got[i] != want[i]) { // each step rounds once, as in transformers
                BOOST_ERROR("case " << n << " " << c["options"].dump() << ": at " << i << " got " << got[i] << ", want " << want[i]);
                break;
            }
        pali::decoding::sampler drawing(options, logits.size());
        std::vector<token> drawn;
        for (std::size_t i = 0; i < c["draws"].size(); ++i) {
            got = logits;
            drawn.push_back(drawing.next(got, sequence, suppressed));
        }
        BOOST_TEST(drawn == c["draws"].get<std::vector<token>>(), "case " << n << " " << c["options"].dump());
    }
}

BOOST_AUTO_TEST_CASE(draws_follow_the_distribution) {
    const std::vector<float> logits{0, 1, -1, 2, -std::numeric_limits<float>::infinity(), 0.5f};
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    pali::decoding::sampler sampler({.temperature = 1, .seed = 7}, logits.size());
    std::vector<double> counts(logits.size());
    constexpr int draws = 100000;
    for (int i = 0; i < draws; ++i) {
        auto copy = logits;
        ++counts[static_cast<std::size_t>(sampler.next(copy, {}))];
    }
    double chi_squared = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double expected = draws * std::exp(static_cast<double>(logits[i])) / sum;
        if (expected > 0) chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    BOOST_TEST(counts[4] == 0);
    BOOST_TEST(chi_squared < 18.5); // 4 degrees of freedom: p = 0.001; the seed is fixed
}

BOOST_AUTO_TEST_CASE(seeds) {
    const auto text = [](std::uint64_t seed) {
        pali::decoding::sampler sampler({.temperature = 1, .seed = seed}, 50);
        std::vector<token> out;
        for (int i = 0; i < 40; ++i) {
            std::vector<float> logits(50, 0.f);
            out.push_back(sampler.next(logits, {}));
        }
        return out;
    };
    BOOST_TEST(text(3) == text(3));
    BOOST_TEST(text(3) != text(4));
    BOOST_TEST(text(0) != text(1));
}

BOOST_AUTO_TEST_CASE(random_numbers_are_splitmix64) {
    // The sequence for seed 1234567 as published for this generator (prng.di.unimi.it/splitmix64.c; Rosetta Code, Pseudo-random
    // numbers/Splitmix64).
    pali::decoding::random_source random(1234567);
    for (const std::uint64_t want :
         {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u})
        BOOST_TEST(random.bits() == want);
    for (int i = 0; i < 1000; ++i) {
        const double u = random.uniform();
        BOOST_TEST((u >= 0 && u < 1));
    }
}

BOOST_AUTO_TEST_CASE(greedy_takes_the_first_of_equals_and_ignores_warpers) {
    std::vector<float> logits{1, 5, 5, 2};
    pali::decoding::sampler sampler({.top_k = 1, .top_p = 0.1f, .min_p = 0.9f, .typical_p = 0.01f}, 4);
    BOOST_TEST(sampler.next(logits, {}) == 1);
    BOOST_TEST(logits == (std::vector<float>{1, 5, 5, 2}));
    pali::decoding::sampler penalised({.repetition_penalty = 2}, 4);
    BOOST_TEST(penalised.next(logits, std::vector<token>{1, 1}) == 2);
    pali::decoding::sampler suppressing({}, 4);
    BOOST_TEST(suppressing.next(logits, {}, std::vector<token>{2}) == 1);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_chosen_from_is_refused) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const float temperature : {0.f, 1.f})
        for (const std::vector<float>& bad : {std::vector<float>{1, nan, 2}, {nan, nan, nan}, {-inf, -inf, -inf}, {1, inf, 2}}) {
            pali::decoding::sampler sampler({.temperature = temperature, .top_k = 2, .top_p = 0.9f}, 3);
            auto logits = bad;
            BOOST_CHECK_EXCEPTION((void)sampler.next(logits, {}), pali::error,
                                  [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
        }
}

BOOST_AUTO_TEST_CASE(options_are_checked) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const auto says = [](const pali::sampling_options& options, const std::string& option, const std::string& value) {
        const std::string message = refusal(options);
        BOOST_TEST((message.find(option + " is " + value + ";") != std::string::npos), message);
    };
    says({.temperature = -0.5f}, "temperature", "-0.5");
    says({.temperature = inf}, "temperature", "inf");
    says({.temperature = nan}, "temperature", "nan");
    says({.top_p = 1.5f}, "top_p", "1.5");
    says({.top_p = -0.1f}, "top_p", "-0.1");
    says({.top_p = nan}, "top_p", "nan");
    says({.min_p = 2}, "min_p", "2");
    says({.min_p = -1}, "min_p", "-1");
    says({.typical_p = 0}, "typical_p", "0");
    says({.typical_p = 1.1f}, "typical_p", "1.1");
    says({.repetition_penalty = 0}, "repetition_penalty", "0");
    says({.repetition_penalty = inf}, "repetition_penalty", "inf");
    BOOST_TEST(refusal({}) == "");
    BOOST_TEST(refusal({.temperature = 2, .top_k = 5, .top_p = 0, .min_p = 1, .typical_p = 1, .repetition_penalty = 0.5f}) == "");
    BOOST_CHECK_THROW(pali::decoding::sampler({.top_p = 2}, 5), pali::error);
    BOOST_CHECK_THROW(pali::decoding::sampler({}, 0), pali::error);
}

BOOST_AUTO_TEST_SUITE_END()
