// Checks that a checkpoint matches the compiled configuration.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/dynamic.hpp>
#include <pali/config/registry.hpp>

#include <string_view>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// Throws errc::config_mismatch if config.json differs from `compiled`, the sizes of the variant `name`. The message lists at most ten
/// differing fields.
void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read);

/// Throws errc::config_mismatch if config.json differs from the compiled type; the message lists the fields. Does nothing for `dynamic`,
/// which was read from config.json.
template <model_config Config>
void require_fit(const Config& compiled, const checkpoint_config& read) {
    if constexpr (!std::is_same_v<Config, dynamic>) require_same(sizes_of(compiled), variant_name<Config>(), read);
}

/// Returns the configuration of a model of type `Config`. For `dynamic`, that is the sizes read from config.json. Otherwise it is the
/// type's own, which must equal them; throws what require_fit() throws.
template <model_config Config>
[[nodiscard]] Config make_config(const checkpoint_config& read) {
    if constexpr (std::is_same_v<Config, dynamic>) {
        return read.sizes;
    } else {
        require_fit(Config{}, read);
        return Config{};
    }
}

}}} // namespace pali::PALI_ABI::config_detail

#ifndef PALI_COMPILED
#  include <pali/config/require_fit.ipp>
#endif
