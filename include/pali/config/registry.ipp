// Body of registry.hpp. It has its own file because the comparison with all variants takes long to compile.
#pragma once

#include <pali/config/differences.hpp>
#include <pali/config/registry.hpp>

#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

PALI_INLINE std::optional<std::string_view> matching_variant(const dynamic& sizes) {
    std::optional<std::string_view> found;
    std::apply(
        [&](const auto&... v) {
            const auto check = [&](const auto& one) {
                if (!found &&
                    config_detail::differences(config_detail::sizes_of(typename std::decay_t<decltype(one)>::type{}), sizes).empty())
                    found = one.name;
            };
            (check(v), ...);
        },
        variants);
    return found;
}

}} // namespace pali::PALI_ABI
