// What a caller can ask of a generation.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/progress.hpp>
#include <pali/generate/answer_callback.hpp>
#include <pali/generate/beam_options.hpp>
#include <pali/generate/sampling_options.hpp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Options of one answer. All have defaults: model.generate(photo, "caption en") is greedy.
struct generate_options {
    std::size_t max_new_tokens = 256; ///< 1 to beam_options::most_new_tokens, the end of the sequence included
    std::size_t min_new_tokens = 0;   ///< the end of the sequence cannot come earlier
    sampling_options sampling{};      ///< greedy unless its temperature is above 0
    std::size_t num_beams = 1;        ///< beam search, if more than one; then nothing is streamed before the end
    float length_penalty = 1;         ///< beams: scores are divided by length ^ length_penalty
    bool early_stopping = false;      ///< beams: stop as soon as there are num_beams complete answers
    /// What may come next: called with the answer so far and the scores of all tokens (logits; log-probabilities in a beam search), of
    /// which it sets those of impossible tokens to minus infinity (one number for each token of the vocabulary; for each beam of a search).
    /// Where none is left it is errc::invalid_argument. See object_constraint.
    std::function<void(std::span<const token> said, std::span<float> scores)> constrain{};
    /// Called with whole UTF-8 as it comes, in a call with several answers optionally with the number of the answer before it; false stops
    /// the call.
    answer_callback<std::string_view> on_text{};
    answer_callback<token, float>
        on_token{}; ///< called with every token and its log-probability, optionally with the number of the answer; false stops the call
    progress_callback on_progress{}; ///< stages "image", "prefill" and "decode", of a beam search "search"; the share of the whole call
                                     ///< that is done; false stops the call

    /// Those of a beam search.
    [[nodiscard]] beam_options beams() const noexcept {
        return {
            .num_beams = num_beams, .length_penalty = length_penalty, .early_stopping = early_stopping, .max_new_tokens = max_new_tokens};
    }

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        beams().validate();
        if (min_new_tokens > max_new_tokens)
            throw error(errc::invalid_argument,
                        {"min_new_tokens is ", min_new_tokens, "; max_new_tokens, ", max_new_tokens, ", at most is allowed"});
        sampling.validate();
        if (num_beams > 1 && !sampling.greedy())
            throw error(errc::invalid_argument,
                        {"num_beams is ", num_beams, " with a temperature; beam search is greedy: set one of them only"});
    }
};

}} // namespace pali::PALI_ABI
