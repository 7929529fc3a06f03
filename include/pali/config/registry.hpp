// Registry of variants: maps a name or a config.json to a configuration type. The only dispatch from run time to compile time.
#pragma once

#include <pali/config/dynamic.hpp>
#include <pali/config/paligemma_config.hpp>
#include <pali/config/shapes_demo.hpp>
#include <pali/core/error.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace pali { inline namespace PALI_ABI {

/// A configuration type and its public name.
template <model_config Config>
struct variant {
    using type = Config;   ///< the type that with_config() passes
    std::string_view name; ///< for example "paligemma2-3b-224"
};

/// All variants in the library: the twelve released models and the embedded demonstration model.
inline constexpr std::tuple variants{
    variant<paligemma_3b_224>{"paligemma-3b-224"},
    variant<paligemma_3b_448>{"paligemma-3b-448"},
    variant<paligemma_3b_896>{"paligemma-3b-896"},
    variant<paligemma2_3b_224>{"paligemma2-3b-224"},
    variant<paligemma2_3b_448>{"paligemma2-3b-448"},
    variant<paligemma2_3b_896>{"paligemma2-3b-896"},
    variant<paligemma2_10b_224>{"paligemma2-10b-224"},
    variant<paligemma2_10b_448>{"paligemma2-10b-448"},
    variant<paligemma2_10b_896>{"paligemma2-10b-896"},
    variant<paligemma2_28b_224>{"paligemma2-28b-224"},
    variant<paligemma2_28b_448>{"paligemma2-28b-448"},
    variant<paligemma2_28b_896>{"paligemma2-28b-896"},
    variant<shapes>{"shapes"},
};

/// Names of the variants, in table order.
[[nodiscard]] constexpr auto variant_names() noexcept {
    return std::apply([](const auto&... v) { return std::array<std::string_view, sizeof...(v)>{v.name...}; }, variants);
}

/// The name of a library variant, "dynamic", or "custom" for a user-defined type.
template <model_config Config>
[[nodiscard]] constexpr std::string_view variant_name() noexcept {
    if constexpr (std::is_same_v<Config, dynamic>) return "dynamic";
    std::string_view name = "custom";
    std::apply(
        [&](const auto&... v) { ((std::is_same_v<Config, typename std::decay_t<decltype(v)>::type> ? void(name = v.name) : void()), ...); },
        variants);
    return name;
}

namespace config_detail {

/// Compares names with '_' and '-' as equal, because types use one and folders the other.
[[nodiscard]] constexpr bool same_variant_name(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    return true;
}

[[noreturn]] inline void unknown_variant(std::string_view name) {
    std::string all;
    for (const std::string_view known : variant_names()) all.append(" ").append(known);
    throw error(errc::unknown_variant, {"no variant '", name, "'; the variants are", all});
}

template <std::size_t I, class Function>
decltype(auto) with_config_from(std::string_view name, Function& f) {
    using config = typename std::tuple_element_t<I, std::decay_t<decltype(variants)>>::type;
    using result = std::invoke_result_t<Function&, paligemma_3b_224>;
    static_assert(std::is_same_v<std::invoke_result_t<Function&, config>, result>, "the function returns the same type for every variant");
    if (same_variant_name(name, std::get<I>(variants).name)) return static_cast<result>(f(config{}));
    if constexpr (I + 1 < std::tuple_size_v<decltype(variants)>) return static_cast<result>(with_config_from<I + 1>(name, f));
    else unknown_variant(name);
}

} // namespace config_detail

/// Calls f(Config{}) with the variant of that name, spelled with '-' or '_': with_config("paligemma2-3b-224", [](auto config) { ... }).
/// `f` is instantiated for every variant and must return the same type for each. Throws errc::unknown_variant with the known names.
template <class Function>
decltype(auto) with_config(std::string_view name, Function&& f) {
    return config_detail::with_config_from<0>(name, f);
}

/// The name of the variant that equals `sizes` in every field; std::nullopt if there is none.
[[nodiscard]] std::optional<std::string_view> matching_variant(const dynamic& sizes);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/registry.ipp>
#endif
