// Checks an array for infinities and NaN.
#pragma once

#include <pali/core/macros.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Whether all of `count` elements are finite.
[[nodiscard]] PALI_ALWAYS_INLINE inline bool are_finite(const float* values, std::size_t count) noexcept {
    constexpr std::uint32_t exponent = 0x7f800000;
    std::uint32_t others = 0; // no early exit, so that the loop vectorizes
    for (std::size_t i = 0; i < count; ++i)
        others |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(values[i]) & exponent) == exponent);
    return others == 0;
}

}}} // namespace pali::PALI_ABI::kernels
