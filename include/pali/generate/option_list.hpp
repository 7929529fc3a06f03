// The single list of all generation options: names, meanings and limits. Validation, the options of the program and the conversion from
// pali_options of the C API all visit this list. tests/generate/test_option_list.cpp fails if a struct has an option that the list lacks.
#pragma once

#include <pali/core/decimal.hpp>
#include <pali/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace option_list {

/// Description of one option with values of type T.
template <class T>
struct entry {
    const char* name;         ///< name of the member, in C++ and in C
    const char* flag;         ///< option of the program
    const char* help;         ///< meaning, as the program's help prints it
    const char* allowed;      ///< allowed values, as an error message prints them
    T least;                  ///< smallest allowed value
    T most;                   ///< largest allowed value
    bool above_least = false; ///< whether the value must be greater than `least`

    /// Whether the value is within the limits; false for NaN.
    [[nodiscard]] constexpr bool allows(T value) const noexcept {
        return value >= least && value <= most && !(above_least && value == least);
    }
    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void require(T value) const {
        if (allows(value)) return;
        if constexpr (std::floating_point<T>) throw error(errc::invalid_argument, {name, " is ", core::in_decimal(value), "; ", allowed});
        else if constexpr (!std::same_as<T, bool>) throw error(errc::invalid_argument, {name, " is ", value, "; ", allowed});
    }
};

inline constexpr std::size_t any_count = std::numeric_limits<std::size_t>::max();
inline constexpr std::uint64_t any_seed = std::numeric_limits<std::uint64_t>::max();
inline constexpr float any_float = std::numeric_limits<float>::max(); // the largest finite one
/// Far above the 8192 positions that Gemma was trained with, and low enough that no buffer size overflows.
inline constexpr std::size_t most_new_tokens = std::size_t{1} << 20;

inline constexpr entry<std::size_t> max_new_tokens{
    "max_new_tokens", "--max-tokens", "Maximum number of tokens of the answer", "1 to 1048576 is allowed", 1, most_new_tokens};
inline constexpr entry<std::size_t> min_new_tokens{
    "min_new_tokens", "--min-tokens", "Minimum number of tokens of the answer", "0 to 1048576 is allowed", 0, most_new_tokens};
inline constexpr entry<float> temperature{
    "temperature", "--temperature", "Randomness; 0: always the most likely token", "0 (the most likely token) or more is allowed", 0,
    any_float};
inline constexpr entry<std::size_t> top_k{"top_k", "--top-k", "Sample from the K most likely tokens; 0: off", "0 or more is allowed",
                                          0,       any_count};
inline constexpr entry<float> top_p{
    "top_p", "--top-p", "Sample from the most likely tokens that reach this probability", "0 to 1 is allowed, 1 being off", 0, 1};
inline constexpr entry<float> min_p{
    "min_p", "--min-p", "Drop tokens less likely than this fraction of the most likely one", "0 to 1 is allowed, 0 being off", 0, 1};
inline constexpr entry<float> typical_p{"typical_p",
                                        "--typical-p",
                                        "Sample from the most typical tokens that reach this probability",
                                        "more than 0, up to 1, is allowed, 1 being off",
                                        0,
                                        1,
                                        true};
inline constexpr entry<float> repetition_penalty{"repetition_penalty",
                                                 "--repetition-penalty",
                                                 "Above 1: tokens already in the sequence become less likely",
                                                 "more than 0 is allowed, 1 being off",
                                                 0,
                                                 any_float,
                                                 true};
inline constexpr entry<std::uint64_t> seed{"seed", "--seed", "Random seed", "0 or more is allowed", 0, any_seed};
inline constexpr entry<std::size_t> num_beams{"num_beams", "--num-beams", "Beam search with this many beams", "1 to 1024 is allowed",
                                              1,           1024};
inline constexpr entry<float> length_penalty{
    "length_penalty", "--length-penalty", "Beam search: above 0 favors longer answers", "a finite number is needed", -any_float, any_float};
inline constexpr entry<bool> early_stopping{
    "early_stopping", "--early-stopping", "Beam search: stop when there are as many answers as beams", "", false, true};

/// Calls visit(entry, member...) for each option of sampling. Each argument is a struct with members of these names, such as
/// sampling_options.
template <class Visit, class... Options>
constexpr void visit_sampling(Visit&& visit, Options&... options) {
    visit(temperature, options.temperature...);
    visit(top_k, options.top_k...);
    visit(top_p, options.top_p...);
    visit(min_p, options.min_p...);
    visit(typical_p, options.typical_p...);
    visit(repetition_penalty, options.repetition_penalty...);
    visit(seed, options.seed...);
}

/// Same, for the options that only beam search has.
template <class Visit, class... Options>
constexpr void visit_search(Visit&& visit, Options&... options) {
    visit(num_beams, options.num_beams...);
    visit(length_penalty, options.length_penalty...);
    visit(early_stopping, options.early_stopping...);
}

/// Same, for all members of beam_options.
template <class Visit, class... Options>
constexpr void visit_beams(Visit&& visit, Options&... options) {
    visit(max_new_tokens, options.max_new_tokens...);
    visit_search(visit, options...);
}

/// Returns the member `sampling` if there is one; otherwise `options` itself, as for the flat pali_options of C.
template <class Options>
[[nodiscard]] constexpr auto& sampling_of(Options& options) noexcept {
    if constexpr (requires { options.sampling; }) return options.sampling;
    else return options;
}

/// Same, for all options of generate_options or pali_options.
template <class Visit, class... Options>
constexpr void visit(Visit&& visit, Options&... options) {
    visit(max_new_tokens, options.max_new_tokens...);
    visit(min_new_tokens, options.min_new_tokens...);
    visit_sampling(visit, sampling_of(options)...);
    visit_search(visit, options...);
}

/// Visitor that throws errc::invalid_argument for the first value outside its limits.
inline constexpr auto require_allowed = [](const auto& option, const auto& value) { option.require(value); };

}}} // namespace pali::PALI_ABI::option_list
