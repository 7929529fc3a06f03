// Results of generation.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Why a generation ended.
enum class finish_reason {
    eos,       ///< the model produced an end-of-sequence token
    length,    ///< max_new_tokens or the last position of the model was reached
    cancelled, ///< a callback returned false
};

/// Returns "eos", "length" or "cancelled".
[[nodiscard]] constexpr const char* to_string(finish_reason reason) noexcept {
    return reason == finish_reason::eos ? "eos" : reason == finish_reason::length ? "length" : "cancelled";
}

/// Time spent in each stage, in seconds.
struct timings {
    double image_s = 0;   ///< vision tower and projector; images encoded in one call get equal shares; 0 if features were passed
    double prefill_s = 0; ///< prefill, including the first token
    double decode_s = 0;  ///< all later tokens; in a batch, the decode steps that this answer took part in
};

/// An answer.
struct generation {
    std::string text;                             ///< valid UTF-8, without the end-of-sequence token
    std::vector<token> tokens;                    ///< with the end-of-sequence token, if the model produced one
    std::vector<float> logprobs;                  ///< natural log-probability of each token under the model's own distribution
    std::vector<token> prompt_tokens;             ///< BOS, prompt, "\n": the tokens after the image tokens
    finish_reason finish = finish_reason::length; ///< why it ended
    /// Maximum length: max_new_tokens, or less if the model has fewer positions left after the prompt.
    std::size_t most_tokens = 0;
    pali::timings timings; ///< time spent in each stage

    /// Decode speed in tokens per second, without the first token; 0 for a single token.
    [[nodiscard]] double decode_tokens_per_s() const noexcept {
        return tokens.size() < 2 || timings.decode_s <= 0 ? 0 : static_cast<double>(tokens.size() - 1) / timings.decode_s;
    }
};

/// The probability of a given answer.
struct score_result {
    double logprob = 0;          ///< of the whole answer, the end-of-sequence token included: the sum of logprobs
    std::vector<token> tokens;   ///< of the answer, with the end-of-sequence token
    std::vector<float> logprobs; ///< natural log-probability of each token, given all tokens before it
};

}} // namespace pali::PALI_ABI
