// State of one answer: turns logits into tokens, text and callbacks.
#pragma once

#include <pali/generate/generate_options.hpp>
#include <pali/generate/log_softmax.hpp>
#include <pali/generate/result.hpp>
#include <pali/generate/sampler.hpp>
#include <pali/text/prompt.hpp>
#include <pali/text/stream.hpp>
#include <pali/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace decoding { inline namespace PALI_SIMD {

/// Chooses one token per decode step, streams the text, and decides when to stop. Allocates on construction, not per token.
class answer {
public:
    /// `number` is passed to the callbacks. `eos`: tokens that end the answer. `vocab`: number of logits. `most_tokens`: maximum length.
    /// All referenced arguments must outlive the object.
    answer(std::size_t number, const generate_options& options, const tokenizer& text, std::span<const token> eos,
           const prompt_layout& prompt, std::size_t vocab, std::size_t most_tokens)
        : m_number(number), m_options(options), m_eos(eos), m_stream(text), m_sampler(options.sampling, vocab), m_sequence(prompt.tokens) {
        m_result.most_tokens = most_tokens;
        m_sequence.reserve(prompt.tokens.size() + most_tokens);
        if (changes_logits()) m_own.reserve(vocab);
        m_result.tokens.reserve(most_tokens);
        m_result.logprobs.reserve(most_tokens);
        m_result.prompt_tokens.assign(prompt.tokens.begin() + static_cast<std::ptrdiff_t>(prompt.image_tokens), prompt.tokens.end());
    }

    /// Takes the logits of the next token, (vocab), and may overwrite them. Returns whether to continue. Throws what sampler::next throws.
    [[nodiscard]] bool take(std::span<float> logits) {
        const double normaliser = log_sum_exp(logits); // before the processors, for log-probabilities under the model's own distribution
        if (changes_logits()) m_own.assign(logits.begin(), logits.end());
        if (m_options.constrain) m_options.constrain(m_result.tokens, logits);
        const bool may_end = m_result.tokens.size() >= m_options.min_new_tokens;
        const token next = m_sampler.next(logits, m_sequence, may_end ? std::span<const token>() : m_eos);
        const float own = changes_logits() ? m_own[static_cast<std::size_t>(next)] : logits[static_cast<std::size_t>(next)];
        const auto logprob = static_cast<float>(static_cast<double>(own) - normaliser);
        m_sequence.push_back(next);
        m_result.tokens.push_back(next);
        m_result.logprobs.push_back(logprob);
        const bool ends = std::find(m_eos.begin(), m_eos.end(), next) != m_eos.end();
        const bool wanted = (!m_options.on_token || m_options.on_token(m_number, next, logprob)) && (ends || say(m_stream.push(next)));
        if (!wanted) m_result.finish = finish_reason::cancelled;
        else if (ends) m_result.finish = finish_reason::eos;
        else if (m_result.tokens.size() < m_result.most_tokens) return true;
        else m_result.finish = finish_reason::length;
        m_complete = true;
        const std::string_view held = m_stream.finish();
        if (m_result.finish == finish_reason::cancelled) m_result.text += held; // no further callbacks after cancellation
        else if (!say(held)) m_result.finish = finish_reason::cancelled;
        return false;
    }

    /// Cancels the answer, unless it is complete, and flushes its text.
    void cancel() {
        if (m_complete) return;
        m_complete = true;
        m_result.finish = finish_reason::cancelled;
        m_result.text += m_stream.finish();
    }
    /// Whether a callback of this answer cancelled it.
    [[nodiscard]] bool stopped() const noexcept { return m_complete && m_result.finish == finish_reason::cancelled; }

    /// The last token.
    [[nodiscard]] token last() const noexcept { return m_sequence.back(); }
    /// Timings of the answer, which the caller updates.
    [[nodiscard]] pali::timings& timings() noexcept { return m_result.timings; }
    /// Returns the answer. Call it once take() has returned false or cancel() was called.
    [[nodiscard]] generation finish() && { return std::move(m_result); }

private:
    /// Whether a constraint or a processor modifies the logits before a token is chosen.
    [[nodiscard]] bool changes_logits() const noexcept { return m_options.constrain || !m_sampler.keeps_logits(); }

    [[nodiscard]] bool say(std::string_view piece) {
        m_result.text += piece;
        return piece.empty() || !m_options.on_text || m_options.on_text(m_number, piece);
    }

    std::size_t m_number;
    const generate_options& m_options;
    std::span<const token> m_eos;
    text_stream m_stream;
    sampler m_sampler;
    std::vector<token> m_sequence; // image tokens, prompt, answer: the input of the processors
    std::vector<float> m_own;      // the model's own logits, if they are modified
    generation m_result;
    bool m_complete = false; // no more tokens
};

}}}} // namespace pali::PALI_ABI::decoding::PALI_SIMD
