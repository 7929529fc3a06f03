// What a generation gives back.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Why a generation ended.
enum class finish_reason {
    eos,       ///< the model said so
    length,    ///< max_new_tokens, or the last position of the model, were reached
    cancelled, ///< a callback returned false
};

/// "eos", "length" or "cancelled".
[[nodiscard]] constexpr const char* to_string(finish_reason reason) noexcept {
    return reason == finish_reason::eos ? "eos" : reason == finish_reason::length ? "length" : "cancelled";
}

/// Where the time went, in seconds.
struct timings {
    double image_s = 0;   ///< vision tower and projector; of images taken together an equal share; 0 where features were given
    double prefill_s = 0; ///< the prompt through the decoder, up to the first token
    double decode_s = 0;  ///< all later tokens; of answers that were made together, the steps that this one took part in
};

/// An answer.
struct generation {
    std::string text;                             ///< whole UTF-8, without the end-of-sequence token
    std::vector<token> tokens;                    ///< with the end-of-sequence token, where the model said it
    std::vector<float> logprobs;                  ///< natural logarithm of each token's probability, under the model's own distribution
    std::vector<token> prompt_tokens;             ///< BOS, prompt, "\n": what followed the image tokens
    finish_reason finish = finish_reason::length; ///< why it ended
    std::size_t most_tokens = 0; ///< that it could have: max_new_tokens, or fewer where the model has fewer positions behind the prompt
    pali::timings timings;       ///< seconds

    /// Tokens a second after the first one; 0 for a single token.
    [[nodiscard]] double decode_tokens_per_s() const noexcept {
        return tokens.size() < 2 || timings.decode_s <= 0 ? 0 : static_cast<double>(tokens.size() - 1) / timings.decode_s;
    }
};

/// How likely the model finds an answer.
struct score_result {
    double logprob = 0;          ///< of the whole answer, its end included: the sum of logprobs
    std::vector<token> tokens;   ///< of the answer, with the end-of-sequence token
    std::vector<float> logprobs; ///< natural logarithm of each token's probability, given all before it
};

}} // namespace pali::PALI_ABI
