// Options of generation.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/progress.hpp>
#include <pali/generate/answer_callback.hpp>
#include <pali/generate/beam_options.hpp>
#include <pali/generate/option_list.hpp>
#include <pali/generate/sampling_options.hpp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Options of one answer. The defaults, as used by model.generate(image, "caption en"), select greedy decoding.
struct generate_options {
    std::size_t max_new_tokens = 256; ///< maximum length, the end-of-sequence token included; 1 to beam_options::most_new_tokens
    std::size_t min_new_tokens = 0;   ///< minimum length before the end-of-sequence token
    sampling_options sampling{};      ///< greedy unless the temperature is above 0
    std::size_t num_beams = 1;        ///< beam search if greater than 1; the text is then streamed only at the end
    float length_penalty = 1;         ///< beam search: scores are divided by length^length_penalty
    bool early_stopping = false;      ///< beam search: stops as soon as num_beams answers are complete
    /// Restricts the next token by setting the scores of forbidden tokens to minus infinity. Called with the answer so far and the scores
    /// of all tokens, (vocabulary). The scores are logits. In a beam search they are log-probabilities, and the function is called once per
    /// beam. If no token is left, generation throws errc::invalid_argument. See object_constraint.
    std::function<void(std::span<const token> said, std::span<float> scores)> constrain{};
    /// Called with each new piece of text, in whole UTF-8 characters. May take the index of the answer as its first argument. Returning
    /// false stops the call.
    decoding::answer_callback<std::string_view> on_text{};
    /// Called with every token and its log-probability. May take the index of the answer as its first argument. Returning false stops the
    /// call.
    decoding::answer_callback<token, float> on_token{};
    /// Called with a stage and the completed fraction of the whole call. Stages are "image", "prefill" and "decode", or "search" with
    /// beams. Returning false stops the call.
    progress_callback on_progress{};

    /// The options of a beam search.
    [[nodiscard]] beam_options beams() const noexcept {
        beam_options out;
        option_list::visit_beams([](const auto&, auto& to, const auto& from) { to = from; }, out, *this);
        return out;
    }

    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void validate() const {
        option_list::visit(option_list::require_allowed, *this);
        if (min_new_tokens > max_new_tokens)
            throw error(errc::invalid_argument,
                        {"min_new_tokens is ", min_new_tokens, "; max_new_tokens, ", max_new_tokens, ", at most is allowed"});
        if (num_beams > 1 && !sampling.greedy())
            throw error(errc::invalid_argument,
                        {"num_beams is ", num_beams, " with a temperature; beam search does not sample: set only one of them"});
    }
};

}} // namespace pali::PALI_ABI
