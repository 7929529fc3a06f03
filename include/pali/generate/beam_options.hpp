// Options of beam search. Separate from the search itself, so that programs that link pali::compiled need not parse it.
#pragma once

#include <pali/core/error.hpp>
#include <pali/generate/decimal.hpp>

#include <cmath>
#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Names and meanings follow transformers' GenerationConfig.
struct beam_options {
    std::size_t num_beams = 1;        ///< number of beams, 1 to 1024
    float length_penalty = 1;         ///< scores are divided by length^length_penalty: above 0 favors long answers, below 0 short ones
    bool early_stopping = false;      ///< stops as soon as num_beams answers are complete; otherwise when no better answer is likely
    std::size_t max_new_tokens = 256; ///< 1 to most_new_tokens

    /// Far above the 8192 positions that Gemma was trained with, and low enough that no buffer size overflows.
    static constexpr std::size_t most_new_tokens = std::size_t{1} << 20;

    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void validate() const {
        const auto need = [](bool fits, const char* option, error_text&& value, const char* allowed) {
            if (!fits) throw error(errc::invalid_argument, {option, " is ", std::move(value).str(), "; ", allowed});
        };
        need(num_beams >= 1 && num_beams <= 1024, "num_beams", num_beams, "1 to 1024 is allowed");
        need(std::isfinite(length_penalty), "length_penalty", detail::in_decimal(length_penalty), "a finite number is needed");
        need(max_new_tokens >= 1 && max_new_tokens <= most_new_tokens, "max_new_tokens", max_new_tokens, "1 to 1048576 is allowed");
    }
};

}} // namespace pali::PALI_ABI
