// Checks the list of options against the structs. The structured bindings name every member, so this file does not compile if a struct gets
// a new member.
#include <pali/generate/generate_options.hpp>
#include <pali/pali.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <type_traits>

namespace {

namespace option_list = pali::option_list;
using addresses = std::set<const void*>;

/// Addresses of the members that the list visits; each must be visited once.
template <class Visit, class... Options>
addresses visited(Visit visit, Options&... options) {
    addresses out;
    visit([&](const auto& option, const auto&... members) { BOOST_TEST((out.insert(&members).second && ...), option.name); }, options...);
    return out;
}

constexpr auto all = [](auto f, auto&... options) { option_list::visit(f, options...); };
constexpr auto sampling_alone = [](auto f, auto&... options) { option_list::visit_sampling(f, options...); };
constexpr auto beams_alone = [](auto f, auto&... options) { option_list::visit_beams(f, options...); };

/// The message of an error, or "".
std::string refusal(const pali::generate_options& options) {
    try {
        options.validate();
    } catch (const pali::error& e) {
        BOOST_TEST((e.code() == pali::errc::invalid_argument));
        return e.what();
    }
    return "";
}

} // namespace

BOOST_AUTO_TEST_SUITE(list_of_options)

BOOST_AUTO_TEST_CASE(every_option_of_every_struct_is_listed) {
    const pali::sampling_options sampling;
    const auto& [temperature, top_k, top_p, min_p, typical_p, repetition_penalty, seed] = sampling;
    BOOST_TEST(
        (visited(sampling_alone, sampling) == addresses{&temperature, &top_k, &top_p, &min_p, &typical_p, &repetition_penalty, &seed}));

    const pali::beam_options beams;
    const auto& [num_beams, length_penalty, early_stopping, max_new_tokens] = beams;
    BOOST_TEST((visited(beams_alone, beams) == addresses{&num_beams, &length_penalty, &early_stopping, &max_new_tokens}));

    const pali::generate_options options;
    const auto& [most, fewest, sampled, searched, penalty, early, constrain, on_text, on_token, on_progress] = options;
    addresses listed{&most, &fewest, &searched, &penalty, &early};
    listed.merge(visited(sampling_alone, sampled));
    BOOST_TEST((visited(all, options) == listed));

    const pali_options in_c{};
    const auto& [c_size, c_max_new_tokens, c_min_new_tokens, c_seed, c_top_k, c_num_beams, c_on_text, c_on_progress, c_user, c_temperature,
                 c_top_p, c_min_p, c_repetition_penalty, c_early_stopping, c_constrained, c_typical_p, c_length_penalty] = in_c;
    BOOST_TEST(
        (visited(all, in_c) == addresses{&c_max_new_tokens, &c_min_new_tokens, &c_seed, &c_top_k, &c_num_beams, &c_temperature, &c_top_p,
                                         &c_min_p, &c_repetition_penalty, &c_early_stopping, &c_typical_p, &c_length_penalty}));
    BOOST_TEST(visited(all, in_c).size() == visited(all, options).size());
}

BOOST_AUTO_TEST_CASE(names_are_those_of_the_members) {
    const auto flag_of = [](std::string name) { // --max-tokens for max_new_tokens
        if (const std::size_t at = name.find("_new"); at != name.npos) name.erase(at, 4);
        std::replace(name.begin(), name.end(), '_', '-');
        return "--" + name;
    };
    const pali::generate_options options;
    std::string names;
    option_list::visit(
        [&](const auto& option, const auto&) {
            BOOST_TEST(option.flag == flag_of(option.name));
            BOOST_TEST(!std::string(option.help).empty());
            names += std::string(names.empty() ? "" : " ") + option.name;
        },
        options);
    BOOST_TEST(names ==
               "max_new_tokens min_new_tokens temperature top_k top_p min_p typical_p repetition_penalty seed num_beams length_penalty "
               "early_stopping");
}

BOOST_AUTO_TEST_CASE(types_agree_and_defaults_are_the_same) {
    const pali::generate_options options;
    const pali_options in_c{};
    option_list::visit(
        [](const auto& option, const auto& here, const auto& there) {
            using entry = std::remove_cvref_t<decltype(option)>;
            using member = std::remove_cvref_t<decltype(here)>;
            static_assert(std::is_same_v<entry, option_list::entry<member>>);
            using in_c = std::remove_cvref_t<decltype(there)>;
            static_assert(std::is_same_v<in_c, std::conditional_t<std::is_same_v<member, bool>, std::int32_t, member>>);
            BOOST_TEST(option.allows(here), option.name);
        },
        options, in_c);
    BOOST_TEST(refusal(options) == "");
    const pali::beam_options beams;
    option_list::visit_beams([](const auto& option, const auto& one, const auto& other) { BOOST_TEST(one == other, option.name); }, options,
                             beams);
}

BOOST_AUTO_TEST_CASE(beams_copies_all_options_of_beam_search) {
    const pali::generate_options options{.max_new_tokens = 7, .num_beams = 3, .length_penalty = -0.5f, .early_stopping = true};
    const pali::beam_options beams = options.beams();
    BOOST_TEST((beams.max_new_tokens == 7 && beams.num_beams == 3 && beams.length_penalty == -0.5f && beams.early_stopping));
}

BOOST_AUTO_TEST_CASE(values_beyond_a_limit_are_refused_by_name) {
    pali::generate_options options;
    std::size_t refused = 0;
    option_list::visit(
        [&](const auto& option, auto& value) {
            using type = std::remove_cvref_t<decltype(value)>;
            const type before = value;
            const auto refuses = [&](type wrong) {
                value = wrong;
                const std::string said = refusal(options);
                BOOST_TEST((said.find(std::string(option.name) + " is ") != said.npos && said.find(option.allowed) != said.npos), said);
                value = before;
                ++refused;
            };
            if constexpr (std::is_same_v<type, float>) {
                refuses(std::nextafter(option.least, -std::numeric_limits<float>::infinity()));
                refuses(std::nextafter(option.most, std::numeric_limits<float>::infinity()));
                refuses(std::numeric_limits<float>::quiet_NaN());
                if (option.above_least) refuses(option.least);
            } else if constexpr (!std::is_same_v<type, bool>) {
                if (option.least > 0) refuses(option.least - 1);
                if (option.most < std::numeric_limits<type>::max()) refuses(option.most + 1);
            }
        },
        options);
    BOOST_TEST(refused == 6 * 3 + 2 + 2 + 1 + 2); // numbers; above_least; max_new_tokens; min_new_tokens; num_beams
    BOOST_TEST(refusal({.max_new_tokens = 3, .min_new_tokens = 4}).find("min_new_tokens is 4; max_new_tokens, 3, at most is allowed") !=
               std::string::npos);
    BOOST_TEST(refusal({.sampling = {.temperature = 1}, .num_beams = 2}).find("num_beams is 2 with a temperature") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
