#include <pali/generate/beam_search.hpp>
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

/// The toy model of tests/golden/sampling.py: the logits depend on the last two tokens.
class toy {
public:
    toy() : m_file(data_path("sampling/beams.safetensors")), m_table(m_file.floats("table")), m_before(m_file.floats("before")) {}
    [[nodiscard]] std::size_t vocabulary() const { return m_file.shape("table")[0]; }
    [[nodiscard]] std::vector<float> log_probabilities(const std::vector<token>& ids) const {
        const std::size_t v = vocabulary(), last = static_cast<std::size_t>(ids.back());
        const std::size_t before = ids.size() > 1 ? static_cast<std::size_t>(ids[ids.size() - 2]) : 0;
        std::vector<float> out(v);
        for (std::size_t i = 0; i < v; ++i) out[i] = m_table[last * v + i] + 0.7f * m_before[before * v + i];
        pali::decoding::log_softmax(out, out);
        return out;
    }

private:
    golden m_file;
    std::vector<float> m_table, m_before;
};

struct outcome {
    std::vector<pali::decoding::beam_search::hypothesis> found;
    std::size_t rounds = 0;
};

/// A decoding loop like that of a model. Reorders the sequences to the beams that the search returns.
outcome run(const toy& model, const nlohmann::json& c, std::size_t first_rows) {
    const auto prompt = c["prompt"].get<std::vector<token>>();
    const auto eos = c["eos"].get<std::vector<token>>();
    const pali::beam_options options{.num_beams = c["num_beams"],
                                     .length_penalty = c["length_penalty"],
                                     .early_stopping = c["early_stopping"],
                                     .max_new_tokens = c["max_new_tokens"]};
    pali::decoding::sampler processors({.repetition_penalty = c["repetition_penalty"]}, model.vocabulary());
    pali::decoding::beam_search search(options, model.vocabulary(), eos);
    const std::size_t v = model.vocabulary(), shortest = c["min_new_tokens"];
    std::vector<std::vector<token>> sequences(first_rows, prompt);
    outcome out;
    for (bool going = true; going;) {
        ++out.rounds;
        std::vector<float> scores, own;
        for (const auto& sequence : sequences) {
            auto row = model.log_probabilities(sequence);
            own.insert(own.end(), row.begin(), row.end());
            processors.process(row, sequence, sequence.size() - prompt.size() < shortest ? eos : std::vector<token>{});
            scores.insert(scores.end(), row.begin(), row.end());
        }
        going = search.advance({scores.data(), sequences.size(), v}, {own.data(), sequences.size(), v});
        if (!going) break;
        std::vector<std::vector<token>> next;
        for (const auto& [parent, id] : search.beams()) {
            next.push_back(sequences[sequences.size() == 1 ? 0 : parent]);
            next.back().push_back(id);
        }
        sequences = next;
        for (std::size_t b = 0; b < sequences.size(); ++b) {
            const auto tokens = search.tokens(b);
            if (!std::equal(tokens.begin(), tokens.end(), sequences[b].begin() + static_cast<std::ptrdiff_t>(prompt.size()),
                            sequences[b].end()))
                BOOST_ERROR("beam " << b << " has other tokens");
        }
    }
    out.found = search.hypotheses();
    return out;
}

nlohmann::json cases() {
    std::ifstream in(data_path("sampling/beams.json"));
    return nlohmann::json::parse(in)["cases"];
}

} // namespace

BOOST_AUTO_TEST_SUITE(beam_search)

BOOST_AUTO_TEST_CASE(equals_generate_of_transformers) {
    const toy model;
    const auto all = cases();
    BOOST_TEST(all.size() >= 200u);
    for (const auto& c : all)
        for (const std::size_t first_rows : {std::size_t{1}, c["num_beams"].get<std::size_t>()}) {
            const auto [found, rounds] = run(model, c, first_rows);
            const auto& want = c["found"];
            BOOST_TEST(rounds == c["rounds"].get<std::size_t>(), c.dump()); // stops in the same round as transformers
            BOOST_REQUIRE_EQUAL(found.size(), want.size());
            for (std::size_t b = 0; b < found.size(); ++b) {
                BOOST_TEST(found[b].tokens == want[b]["tokens"].get<std::vector<token>>(), "answer " << b << " of " << c.dump());
                // Sums of up to 24 log-probabilities in float32. log_softmax differs by one rounding from that of transformers.
                const double score = want[b]["score"];
                BOOST_TEST(std::abs(static_cast<double>(found[b].score) - score) <= 2e-6 * (1 + std::abs(score)),
                           "score " << found[b].score << " of " << b << " of " << c.dump());
                BOOST_TEST(found[b].finished);
            }
        }
}

BOOST_AUTO_TEST_CASE(records_the_models_own_log_probabilities) {
    const toy model;
    const auto all = cases();
    for (std::size_t n = 0; n < 20; ++n) {
        const auto found = run(model, all[n], 1).found;
        for (const auto& h : found) {
            auto sequence = all[n]["prompt"].get<std::vector<token>>();
            BOOST_REQUIRE_EQUAL(h.logprobs.size(), h.tokens.size());
            for (std::size_t i = 0; i < h.tokens.size(); ++i) {
                BOOST_TEST(h.logprobs[i] == model.log_probabilities(sequence)[static_cast<std::size_t>(h.tokens[i])]);
                sequence.push_back(h.tokens[i]);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(one_beam_is_greedy) {
    const toy model;
    nlohmann::json c = cases()[0];
    c.update({{"num_beams", 1},
              {"length_penalty", 1},
              {"early_stopping", true},
              {"max_new_tokens", 12},
              {"repetition_penalty", 1},
              {"min_new_tokens", 0},
              {"eos", {1}}});
    auto sequence = c["prompt"].get<std::vector<token>>();
    std::vector<token> want;
    while (want.size() < 12 && (want.empty() || want.back() != 1)) {
        want.push_back(static_cast<token>(pali::decoding::argmax(model.log_probabilities(sequence))));
        sequence.push_back(want.back());
    }
    BOOST_TEST(run(model, c, 1).found[0].tokens == want);
}

BOOST_AUTO_TEST_CASE(there_is_an_answer_where_no_score_wins_over_nothing) {
    // With length penalty -10, scores soon fall below the -1e9 of an empty slot.
    const std::vector<token> eos{1};
    pali::decoding::beam_search search({.num_beams = 2, .length_penalty = -10, .max_new_tokens = 30}, 5, eos);
    const std::vector<float> row{-9, -9, -1, -2, -9, -9, -9, -1, -2, -9};
    std::size_t rounds = 1;
    while (search.advance({row.data(), 2, 5})) ++rounds;
    BOOST_TEST(search.best().tokens == std::vector<token>(rounds, 2));
    BOOST_TEST(search.best().logprobs.size() == rounds);
}

BOOST_AUTO_TEST_CASE(scores_that_leave_nothing_are_refused) {
    const std::vector<token> eos{1};
    const std::vector<float> none(10, -std::numeric_limits<float>::infinity());
    pali::decoding::beam_search search({.num_beams = 2}, 5, eos);
    BOOST_CHECK_EXCEPTION(search.advance({none.data(), 2, 5}), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; });
}

BOOST_AUTO_TEST_CASE(wrong_use_is_refused) {
    const std::vector<token> eos{1};
    const auto says = [&](const pali::beam_options& options, std::size_t vocabulary, const std::string& text) {
        try {
            const pali::decoding::beam_search search(options, vocabulary, eos);
            BOOST_ERROR("nothing was thrown: " << text);
        } catch (const pali::error& e) {
            BOOST_TEST((e.code() == pali::errc::invalid_argument && std::string(e.what()).find(text) != std::string::npos), e.what());
        }
    };
    says({.num_beams = 0}, 10, "num_beams is 0");
    says({.num_beams = 5000}, 10, "num_beams is 5000");
    says({.length_penalty = std::numeric_limits<float>::quiet_NaN()}, 10, "length_penalty is nan");
    says({.max_new_tokens = 0}, 10, "max_new_tokens is 0");
    says({.max_new_tokens = (std::size_t{1} << 20) + 1}, 10, "max_new_tokens is 1048577; 1 to 1048576 is allowed");
    says({}, 1, "2 or more");
    const std::vector<float> row(30, -1.f), none(30, std::numeric_limits<float>::quiet_NaN());
    pali::decoding::beam_search search({.num_beams = 3}, 10, eos);
    BOOST_CHECK_THROW(search.advance({row.data(), 2, 10}), pali::error);
    BOOST_CHECK_THROW(search.advance({row.data(), 3, 9}), pali::error);
    BOOST_CHECK_THROW(search.advance({none.data(), 3, 10}), pali::error);
    BOOST_TEST(search.advance({row.data(), 1, 10}));
    BOOST_CHECK_THROW(search.advance({row.data(), 1, 10}), pali::error); // the first step takes one row only
}

BOOST_AUTO_TEST_SUITE_END()
