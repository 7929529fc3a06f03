// How the next token is chosen.
#pragma once

#include <pali/core/error.hpp>
#include <pali/generate/decimal.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pali { inline namespace PALI_ABI {

/// Named and meant as in transformers' GenerationConfig, but off until set (there, top_k is 50 until set). With temperature 0 the choice is
/// greedy, as there with do_sample=False: only repetition_penalty counts then.
struct sampling_options {
    float temperature = 0;        ///< logits are divided by it; 0: the most likely token; 0 or more
    std::size_t top_k = 0;        ///< only the k most likely tokens; 0: all
    float top_p = 1;              ///< only the most likely tokens that together reach this probability; 0 to 1, 1: all
    float min_p = 0;              ///< only tokens at least this likely, relative to the most likely one; 0 to 1, 0: all
    float typical_p = 1;          ///< only the tokens of most typical surprise that together reach this probability; over 0 to 1, 1: all
    float repetition_penalty = 1; ///< makes what is in the sequence less likely, image tokens and prompt included; over 0, 1: off
    std::uint64_t seed = 0;       ///< of the random numbers: the same seed gives the same text

    /// Whether the most likely token is taken.
    [[nodiscard]] bool greedy() const noexcept { return temperature == 0; }

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        const auto need = [](bool fits, const char* option, float value, const char* allowed) {
            if (!fits) throw error(errc::invalid_argument, {option, " is ", detail::in_decimal(value), "; ", allowed});
        };
        need(std::isfinite(temperature) && temperature >= 0, "temperature", temperature, "0 (the most likely token) or more is allowed");
        need(top_p >= 0 && top_p <= 1, "top_p", top_p, "0 to 1 is allowed, 1 being off");
        need(min_p >= 0 && min_p <= 1, "min_p", min_p, "0 to 1 is allowed, 0 being off");
        need(typical_p > 0 && typical_p <= 1, "typical_p", typical_p, "more than 0, up to 1, is allowed, 1 being off");
        need(std::isfinite(repetition_penalty) && repetition_penalty > 0, "repetition_penalty", repetition_penalty,
             "more than 0 is allowed, 1 being off");
    }
};

}} // namespace pali::PALI_ABI
