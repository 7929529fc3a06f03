// Quantizes float rows to codes and scales.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/quantized_rows.hpp>
#include <pali/kernels/pointwise/are_finite.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace detail {

/// Computes the codes of one group for a given scale. Out-of-range values and NaN saturate.
template <std::size_t Bits>
void codes_for(const float* x, float scale, int* codes) noexcept {
    using matrix = quantized_rows<Bits>;
    const float inverse = scale == 0 ? 0.f : 1.f / scale;
    for (std::size_t i = 0; i < matrix::group; ++i)
        codes[i] = static_cast<int>(
            std::nearbyint(std::max(static_cast<float>(matrix::smallest), std::min(static_cast<float>(matrix::largest), x[i] * inverse))));
}

/// Quantizes one group and returns its scale, which is NaN if an element is not finite. With 8 bits, the largest magnitude becomes 127.
/// With 4 bits, the element farthest from zero becomes -8, so that all 16 codes are used (llama.cpp's Q4_0). The 4-bit scale is then
/// fitted to these codes by least squares, and the codes are computed again for the fitted scale.
template <std::size_t Bits>
bfloat16 quantize_group(const float* x, int* codes) noexcept {
    if (!are_finite(x, quantized_rows<Bits>::group)) {
        std::fill(codes, codes + quantized_rows<Bits>::group, 0);
        return bfloat16(std::numeric_limits<float>::quiet_NaN());
    }
    const float farthest =
        *std::max_element(x, x + quantized_rows<Bits>::group, [](float a, float b) { return std::abs(a) < std::abs(b); });
    if constexpr (Bits == 8) {
        const bfloat16 scale(std::abs(farthest) / 127.f);
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    } else {
        const float first = farthest / -8.f;
        codes_for<Bits>(x, first, codes);
        float along = 0, squares = 0; // for x / first, so that neither sum overflows
        for (std::size_t i = 0; i < quantized_rows<Bits>::group; ++i) {
            along += x[i] / first * static_cast<float>(codes[i]);
            squares += static_cast<float>(codes[i] * codes[i]);
        }
        const bfloat16 scale(squares == 0 ? 0.f : first * (along / squares));
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    }
}

} // namespace detail

/// Quantizes the rows of a strip, x (8, width), to the layout of quantized_rows: width · Bits bytes of codes and width / group · 8 scales.
template <std::size_t Bits>
void quantize_strip(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept {
    using layout = quantized_rows<Bits>;
    PALI_ASSERT(width % layout::group == 0);
    int of_group[layout::group];
    for (std::size_t at = 0; at < width; at += layout::group, codes += layout::group_bytes, scales += layout::strip) {
        std::fill(codes, codes + layout::group_bytes, std::uint8_t{0});
        for (std::size_t r = 0; r < layout::strip; ++r) {
            scales[r] = detail::quantize_group<Bits>(x + r * width + at, of_group);
            for (std::size_t k = 0; k < layout::group; ++k) {
                const int bits = Bits == 8 ? of_group[k] : (of_group[k] + 8) << (k < layout::group / 2 ? 0 : 4);
                codes[layout::byte_in_group(r, k)] |= static_cast<std::uint8_t>(bits);
            }
        }
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
