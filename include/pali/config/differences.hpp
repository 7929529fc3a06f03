// Whether a checkpoint is the model that was compiled.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/registry.hpp>

#include <string>
#include <type_traits>
#include <vector>

namespace pali::inline PALI_ABI {

/// Throws errc::config_mismatch, with every field in which config.json and the compiled type differ, unless they are the same model.
/// For `dynamic` there is nothing to compare: it is what was read.
template <model_config Config>
void require_fit(const Config& compiled, const checkpoint_config& read) {
    if constexpr (!std::is_same_v<Config, dynamic>) {
        const std::vector<config_difference> found = differences(read.sizes, compiled);
        if (found.empty()) return;
        const std::string name(variant_name<Config>());
        std::string message = read.file.string() + ": is not the compiled model" + (name == "custom" ? "" : ", " + name) + ":";
        for (const config_difference& one : found)
            message += "\n  " + one.field + " is " + one.first + " in the checkpoint, " + one.second + " in the type";
        const std::optional<std::string_view> fitting = matching_variant(read.sizes);
        message += fitting ? "\nThe variant that fits is " + std::string(*fitting) + "; pali::dynamic fits too."
                           : "\nNone of the variants shipped fits; pali::dynamic reads its sizes from the checkpoint.";
        throw error(errc::config_mismatch, message);
    }
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

} // namespace pali::inline PALI_ABI
