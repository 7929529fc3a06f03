// Options of sampling.
#pragma once

#include <pali/generate/option_list.hpp>

#include <cstddef>
#include <cstdint>

namespace pali { inline namespace PALI_ABI {

/// Names and meanings follow transformers' GenerationConfig, but every option is off by default (transformers has top_k = 50). Temperature
/// 0 selects greedy decoding, like do_sample=False; then only repetition_penalty has an effect.
struct sampling_options {
    float temperature = 0; ///< divisor of the logits, 0 or more; 0: greedy
    std::size_t top_k = 0; ///< keeps the k most likely tokens; 0: all
    float top_p = 1;       ///< keeps the most likely tokens that together reach this probability; 0 to 1; 1: all
    float min_p = 0;       ///< keeps tokens at least this likely relative to the most likely one; 0 to 1; 0: all
    float typical_p = 1; ///< keeps the tokens with the most typical surprise that together reach this probability; above 0, up to 1; 1: all
    float repetition_penalty = 1; ///< penalizes tokens already in the sequence, image tokens and prompt included; above 0; 1: off
    std::uint64_t seed = 0;       ///< random seed; the same seed gives the same text

    /// Whether decoding is greedy.
    [[nodiscard]] bool greedy() const noexcept { return temperature == 0; }

    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void validate() const { option_list::visit_sampling(option_list::require_allowed, *this); }
};

}} // namespace pali::PALI_ABI
