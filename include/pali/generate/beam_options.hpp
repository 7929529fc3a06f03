// Options of beam search. They have their own header, so that programs that link pali::compiled do not have to compile the search.
#pragma once

#include <pali/generate/option_list.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Names and meanings follow transformers' GenerationConfig.
struct beam_options {
    std::size_t num_beams = 1;        ///< number of beams, 1 to 1024
    float length_penalty = 1;         ///< scores are divided by length^length_penalty: above 0 favors long answers, below 0 short ones
    bool early_stopping = false;      ///< true: stops once num_beams answers are complete; false: once no better answer is likely
    std::size_t max_new_tokens = 256; ///< 1 to most_new_tokens

    static constexpr std::size_t most_new_tokens = option_list::most_new_tokens; ///< limit of max_new_tokens

    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void validate() const { option_list::visit_beams(option_list::require_allowed, *this); }
};

}} // namespace pali::PALI_ABI
