// Sampler: chooses the next token from logits.
#pragma once

#include <pali/core/error.hpp>
#include <pali/generate/log_softmax.hpp>
#include <pali/generate/logits_processors.hpp>
#include <pali/generate/random.hpp>
#include <pali/generate/sampling_options.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace decoding { inline namespace PALI_SIMD {

/// Sampler of one sequence. Does not allocate after construction. Samplers with equal options make equal choices from equal logits.
class sampler {
public:
    /// Throws errc::invalid_argument for invalid options.
    sampler(const sampling_options& options, std::size_t vocabulary) : m_options(options), m_memory(vocabulary), m_random(options.seed) {
        m_options.validate();
        if (vocabulary == 0) throw error(errc::invalid_argument, "sampler: the vocabulary has 0 tokens; 1 or more are needed");
    }

    /// Chooses the next token. Overwrites `logits` (vocabulary): call log_softmax_at first to get the probability under the model's own
    /// distribution. `sequence` holds all tokens the model has seen: image tokens, prompt and generated tokens. `suppressed` are forbidden
    /// tokens: EOS, while there are fewer than min_new_tokens. Greedy decoding takes the first of equal logits. Throws
    /// errc::invalid_argument if the logits contain NaN or no token is left.
    [[nodiscard]] token next(std::span<float> logits, std::span<const token> sequence, std::span<const token> suppressed = {}) {
        process(logits, sequence, suppressed);
        const std::size_t best = argmax(logits);
        if (!std::isfinite(logits[best]))
            throw error(errc::invalid_argument, {"the largest logit is ", in_decimal(logits[best]), " (token ", best,
                                                 "): no token can be chosen; are the weights complete and of the right dtype?"});
        return static_cast<token>(m_options.greedy() ? best : draw(logits, logits[best]));
    }

    /// Whether next() leaves the logits of all allowed tokens unchanged.
    [[nodiscard]] bool keeps_logits() const noexcept { return m_options.greedy() && m_options.repetition_penalty == 1; }

    /// Applies the processors in the order of transformers, as next() does before it chooses. A beam search applies it to
    /// log-probabilities.
    void process(std::span<float> logits, std::span<const token> sequence, std::span<const token> suppressed = {}) {
        PALI_ASSERT(logits.size() == m_memory.values.size());
        if (m_options.repetition_penalty != 1) penalise_repetition(logits, sequence, m_options.repetition_penalty, m_memory);
        suppress(logits, suppressed);
        if (m_options.greedy()) return;
        if (m_options.temperature != 1) apply_temperature(logits, m_options.temperature);
        if (m_options.top_k != 0) keep_top_k(logits, m_options.top_k, m_memory);
        if (m_options.top_p < 1) keep_top_p(logits, m_options.top_p, m_memory);
        if (m_options.min_p > 0) keep_min_p(logits, m_options.min_p, m_memory);
        if (m_options.typical_p < 1) keep_typical(logits, m_options.typical_p, m_memory);
    }

private:
    /// Returns the first token at which the cumulative probability exceeds a random number.
    [[nodiscard]] std::size_t draw(std::span<const float> logits, float top) noexcept {
        double sum = 0;
        for (std::size_t i = 0; i < logits.size(); ++i) sum += static_cast<double>(m_memory.values[i] = std::exp(logits[i] - top));
        const double target = m_random.uniform() * sum;
        double reached = 0;
        std::size_t last = 0;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            if (m_memory.values[i] == 0) continue;
            last = i;
            reached += static_cast<double>(m_memory.values[i]);
            if (reached > target) break;
        }
        return last;
    }

    sampling_options m_options;
    processor_memory m_memory;
    random_source m_random;
};

}}}} // namespace pali::PALI_ABI::decoding::PALI_SIMD
