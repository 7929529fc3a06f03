// Checks that a checkpoint matches the compiled configuration.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/dynamic.hpp>
#include <pali/config/registry.hpp>

#include <string_view>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

namespace detail {

/// Throws errc::config_mismatch with the fields, at most ten, in which config.json differs from `compiled`, the variant called `name`.
void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read);

} // namespace detail

/// Throws errc::config_mismatch with the fields in which config.json and the compiled type differ. Does nothing for `dynamic`, which was
/// read from config.json.
template <model_config Config>
void require_fit(const Config& compiled, const checkpoint_config& read) {
    if constexpr (!std::is_same_v<Config, dynamic>) detail::require_same(sizes_of(compiled), variant_name<Config>(), read);
}

/// The configuration of a model of type `Config`: the sizes that were read for `dynamic`, otherwise the type's own, which must fit.
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
