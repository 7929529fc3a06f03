// Beam search, apart from any model: given scores of the next token for each beam, it says which beams go on with which token.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/rows.hpp>
#include <pali/generate/beam_options.hpp>
#include <pali/generate/decimal.hpp>
#include <pali/text/token.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// transformers' beam search (5.23, generation/utils.py, _beam_search with do_sample=False, in float32) for one prompt:
///
///     beam_search search(options, vocabulary, eos);
///     while (search.advance(log_probabilities))        // (1, vocabulary) of the prompt at first, then (num_beams, vocabulary)
///         for (const auto& [parent, id] : search.beams())
///             ...                                        // copy the parent's cache, append id, run the model
///     search.best().tokens
///
/// Of equal scores the lower beam and the lower id come first; torch leaves that open.
class beam_search {
public:
    /// How one beam goes on.
    struct step {
        std::size_t parent = 0; ///< beam of the last round that it continues
        token id = 0;           ///< that it continues with
    };

    /// An answer.
    struct hypothesis {
        std::vector<token> tokens;   ///< with EOS when it ends with one
        std::vector<float> logprobs; ///< of each token
        float score = 0;             ///< sum of the scores of its tokens over length^length_penalty
        bool finished = false;       ///< ended by EOS or by max_new_tokens; one that is not has no meaning but to hold a place
    };

    /// `eos`: tokens that end an answer. Throws errc::invalid_argument for options that are not allowed.
    beam_search(const beam_options& options, std::size_t vocabulary, std::span<const token> eos)
        : m_options(options), m_vocabulary(vocabulary), m_eos(eos.begin(), eos.end()),
          m_length_penalty(detail::as_written(options.length_penalty)) {
        m_options.validate();
        const std::size_t each = std::max<std::size_t>(2, 1 + m_eos.size());
        if (vocabulary < each)
            throw error(errc::invalid_argument, {"a beam search over ", vocabulary, " tokens; ", each, " or more are needed"});
        const std::size_t beams = m_options.num_beams;
        m_kept = each * beams;
        m_running.resize(beams);
        m_next.resize(beams);
        for (std::size_t b = 1; b < beams; ++b) m_running[b].score = nothing; // at first all beams are the prompt: only one counts
        m_finished.resize(beams);
        for (hypothesis& h : m_finished) h.score = nothing;
        m_candidates.reserve(m_kept + 1);
        m_steps.resize(beams);
        m_merged.reserve(beams + m_kept);
    }

    /// Takes the scores of the next token: log-probabilities, (num_beams, vocabulary) or one row for all, after any processors. `own` are
    /// the model's own log-probabilities, to be recorded, where processors changed them. Returns whether the search goes on. Throws
    /// errc::invalid_argument for another shape, when too few scores are numbers, or all are minus infinity.
    bool advance(rows<const float> scores, rows<const float> own = {}) {
        check(scores, "scores");
        if (own.data == nullptr) own = scores;
        else check(own, "own log-probabilities");
        find_candidates(scores);
        const std::size_t beams = m_options.num_beams;
        const bool last = m_length + 1 >= m_options.max_new_tokens;
        bool all_end = true;
        for (candidate& c : m_candidates) {
            c.ends = last || std::find(m_eos.begin(), m_eos.end(), c.id) != m_eos.end();
            all_end = all_end && c.ends;
        }
        finish_candidates(own);
        // The best that did not end go on.
        std::vector<std::size_t>& order = m_merged;
        order.clear();
        for (std::size_t i = 0; i < m_candidates.size(); ++i) order.push_back(i);
        const auto score = [&](std::size_t i) { return m_candidates[i].score + (m_candidates[i].ends ? nothing : 0.f); };
        sort_by(order, score);
        for (std::size_t b = 0; b < beams; ++b) {
            const candidate& c = m_candidates[order[b]];
            m_steps[b] = {c.parent, c.id};
            extend(m_running[c.parent], c, own, m_next[b]);
            m_next[b].score = score(order[b]);
        }
        std::swap(m_running, m_next);
        ++m_length;
        m_going = m_going && could_improve() && !(m_options.early_stopping && all_finished()) && !all_end;
        return m_going;
    }

    /// How the beams go on, one for each, after `advance` returned true.
    [[nodiscard]] std::span<const step> beams() const noexcept { return m_steps; }
    /// What a beam has generated so far.
    [[nodiscard]] std::span<const token> tokens(std::size_t beam) const noexcept { return m_running[beam].tokens; }
    /// Rounds made so far: the tokens of every running beam.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    /// Answers, the best first, once `advance` has returned false.
    [[nodiscard]] const std::vector<hypothesis>& hypotheses() const noexcept { return m_finished; }
    /// The first of them that is complete. Where none is - the search was left early, or length_penalty made all scores less than what
    /// holds a place - the beam that runs with the best score.
    [[nodiscard]] const hypothesis& best() const noexcept {
        const auto complete = std::find_if(m_finished.begin(), m_finished.end(), [](const hypothesis& h) { return h.finished; });
        return complete != m_finished.end() ? *complete : m_running.front();
    }

private:
    struct candidate {
        float score = 0; // sum of scores
        std::size_t parent = 0;
        token id = 0;
        bool ends = false;
    };

    static constexpr float nothing = -1e9f; // transformers' mark of what must not win

    void check(const rows<const float>& scores, const char* what) const {
        if (scores.width == m_vocabulary && (scores.count == m_options.num_beams || (m_length == 0 && scores.count == 1))) return;
        throw error(errc::invalid_argument, {"a beam search is given ", what, " of shape (", scores.count, ", ", scores.width, "); (",
                                             m_options.num_beams, ", ", m_vocabulary, ") is needed", m_length == 0 ? ", or one row" : ""});
    }

    /// The best continuations of all beams, the best first.
    void find_candidates(const rows<const float>& scores) {
        m_candidates.clear();
        for (std::size_t b = 0; b < m_options.num_beams; ++b) {
            const float* const row = scores[scores.count == 1 ? 0 : b];
            const float before = m_running[b].score;
            float least = m_candidates.size() == m_kept ? m_candidates.back().score : 0;
            for (std::size_t i = 0; i < m_vocabulary; ++i) {
                const float score = row[i] + before;
                if ((m_candidates.size() == m_kept && !(score > least)) || std::isnan(score)) continue;
                const auto place = std::upper_bound(m_candidates.begin(), m_candidates.end(), score,
                                                    [](float s, const candidate& c) { return s > c.score; });
                m_candidates.insert(place, {score, b, static_cast<token>(i), false});
                if (m_candidates.size() > m_kept) m_candidates.pop_back();
                least = m_candidates.back().score;
            }
        }
        if (m_candidates.size() < m_kept)
            throw error(errc::invalid_argument, {"a beam search is given scores of which only ", m_candidates.size(),
                                                 " are numbers; are the weights whole and of the right dtype?"});
        if (std::isinf(m_candidates.front().score) && m_candidates.front().score < 0)
            throw error(errc::invalid_argument,
                        "a beam search is given scores that are all minus infinity: a constraint left no token to go on with");
    }

    /// Keeps the best of the answers complete so far and those that just ended; only the first num_beams candidates count.
    void finish_candidates(const rows<const float>& own) {
        const std::size_t beams = m_options.num_beams;
        const bool closed = m_options.early_stopping && all_finished();
        const auto divisor = static_cast<float>(std::pow(static_cast<double>(m_length + 1), m_length_penalty));
        const auto counts = [&](std::size_t i) { return i < beams && m_candidates[i].ends; };
        const auto score = [&](std::size_t i) { // of the merged list: complete answers, then candidates
            if (i < beams) return m_finished[i].score;
            const float divided = m_candidates[i - beams].score / divisor;
            return (std::isnan(divided) ? nothing : divided) + (closed ? nothing : 0.f) + (counts(i - beams) ? 0.f : nothing);
        };
        m_merged.clear();
        for (std::size_t i = 0; i < beams + m_candidates.size(); ++i) m_merged.push_back(i);
        sort_by(m_merged, score);
        if (std::none_of(m_merged.begin(), m_merged.begin() + static_cast<std::ptrdiff_t>(beams),
                         [&](std::size_t i) { return i >= beams && counts(i - beams); }))
            return;
        std::vector<hypothesis> kept(beams);
        for (std::size_t b = 0; b < beams; ++b) {
            const std::size_t i = m_merged[b];
            if (i < beams) {
                kept[b] = std::move(m_finished[i]);
            } else {
                extend(m_running[m_candidates[i - beams].parent], m_candidates[i - beams], own, kept[b]);
                kept[b].score = score(i);
                kept[b].finished = counts(i - beams);
            }
        }
        m_finished = std::move(kept);
    }

    /// The best score first, of equals the first; no score is NaN. (clang warns of the standard library's stable_sort.)
    template <class Score>
    static void sort_by(std::vector<std::size_t>& entries, Score score) {
        std::sort(entries.begin(), entries.end(), [&](std::size_t a, std::size_t b) {
            const float x = score(a), y = score(b);
            return x > y || (x == y && a < b);
        });
    }

    static void extend(const hypothesis& from, const candidate& c, const rows<const float>& own, hypothesis& to) {
        to.tokens.assign(from.tokens.begin(), from.tokens.end());
        to.tokens.push_back(c.id);
        to.logprobs.assign(from.logprobs.begin(), from.logprobs.end());
        to.logprobs.push_back(own[own.count == 1 ? 0 : c.parent][c.id]);
    }

    [[nodiscard]] bool all_finished() const noexcept {
        return std::all_of(m_finished.begin(), m_finished.end(), [](const hypothesis& h) { return h.finished; });
    }

    /// Whether the best running beam, were it to end now, would beat the worst complete answer.
    [[nodiscard]] bool could_improve() const noexcept {
        const float possible = m_running.front().score / static_cast<float>(std::pow(static_cast<double>(m_length), m_length_penalty));
        float worst = m_finished.front().score;
        for (const hypothesis& h : m_finished) worst = std::min(worst, h.score);
        return std::any_of(m_finished.begin(), m_finished.end(),
                           [&](const hypothesis& h) { return possible > (h.finished ? worst : nothing); });
    }

    beam_options m_options;
    std::size_t m_vocabulary;
    std::vector<token> m_eos;
    double m_length_penalty;
    std::size_t m_kept = 0, m_length = 0;
    bool m_going = true;
    std::vector<hypothesis> m_running, m_next, m_finished;
    std::vector<candidate> m_candidates;
    std::vector<step> m_steps;
    std::vector<std::size_t> m_merged;
};

}} // namespace pali::PALI_ABI
