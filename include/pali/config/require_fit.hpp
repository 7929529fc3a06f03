// Whether a checkpoint is the model that was compiled.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/dynamic.hpp>
#include <pali/config/registry.hpp>

#include <string_view>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

namespace detail {

/// Throws errc::config_mismatch with the fields, ten at most, in which `compiled`, the numbers of the variant of that name, differs from
/// config.json.
void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read);

} // namespace detail

/// Throws errc::config_mismatch, with the fields in which config.json and the compiled type differ, unless they are the same model.
/// For `dynamic` there is nothing to compare: it is what was read.
template <model_config Config>
void require_fit(const Config& compiled, const checkpoint_config& read) {
    if constexpr (!std::is_same_v<Config, dynamic>) detail::require_same(sizes_of(compiled), variant_name<Config>(), read);
}

/// The configuration that a model of type `Config` runs with: the sizes read for `dynamic`, the type's own otherwise, which must fit.
template <model_config Config>
[[nodiscard]] Config make_config(const checkpoint_config& read) {
    if constexpr (std::is_same_v<Config, dynamic>) {
        return read.sizes;
    } else {
        require_fit(Config{}, read);
        return Config{};
    }
}

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/require_fit.ipp>
#endif
