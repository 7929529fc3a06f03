// What a caller can ask of a beam search. Apart from the search, which a program that links pali::compiled need not read.
#pragma once

#include <pali/core/error.hpp>
#include <pali/generate/decimal.hpp>

#include <cmath>
#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Named and meant as in transformers' GenerationConfig.
struct beam_options {
    std::size_t num_beams = 1;        ///< sequences that are followed at once, 1 to 1024
    float length_penalty = 1;         ///< scores are divided by length^this: over 0 favours long answers, below 0 short ones
    bool early_stopping = false;      ///< stop as soon as num_beams answers are complete; else when no better one is likely
    std::size_t max_new_tokens = 256; ///< 1 to most_new_tokens

    /// Far beyond the 8192 positions that Gemma was trained with, and so few that no size of memory overflows.
    static constexpr std::size_t most_new_tokens = std::size_t{1} << 20;

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        const auto need = [](bool fits, const char* option, const error_text& value, const char* allowed) {
            if (!fits) throw error(errc::invalid_argument, {option, " is ", value, "; ", allowed});
        };
        need(num_beams >= 1 && num_beams <= 1024, "num_beams", num_beams, "1 to 1024 is allowed");
        need(std::isfinite(length_penalty), "length_penalty", detail::in_decimal(length_penalty), "a finite number is needed");
        need(max_new_tokens >= 1 && max_new_tokens <= most_new_tokens, "max_new_tokens", max_new_tokens, "1 to 1048576 is allowed");
    }
};

}} // namespace pali::PALI_ABI
