// Activations rounded to bytes, in the order in which dot products with quantized weights read them.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/quantized_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Tokens [first, first + count), which are interleaved and multiplied together.
struct token_tile {
    std::size_t first = 0; ///< index of the first token
    std::size_t count = 0; ///< tokens of the tile
};

/// Activations rounded to bytes, with a scale for each token and group, stored tile after tile of R tokens. Views of scratch memory.
struct quantized_tokens {
    std::int8_t* codes = nullptr;   ///< per tile (width / 4, R, 4): four elements of each token, then the next four of each, ...
    float* scales = nullptr;        ///< per tile (groups, R): chosen so that the largest magnitude of a group becomes 127
    std::int32_t* begins = nullptr; ///< per tile (groups, R): initial sums, which cancel the offset of 8 or 128 of unsigned codes
    std::size_t width = 0;          ///< elements of a token
    std::size_t groups = 0;         ///< width / group

    /// Takes scratch memory for `count` tokens that are multiplied by weights of `Bits` bits.
    template <std::size_t Bits>
    [[nodiscard]] static quantized_tokens take(arena& scratch, std::size_t count, std::size_t width) {
        const std::size_t groups = width / quantized_rows<Bits>::group;
        auto* const codes = reinterpret_cast<std::int8_t*>(scratch.take((count * width + 3) / 4));
        float* const scales = scratch.take(count * groups);
        return {.codes = codes,
                .scales = scales,
                .begins = reinterpret_cast<std::int32_t*>(scratch.take(count * groups)),
                .width = width,
                .groups = groups};
    }
};

/// Rounds groups [first, end) of one token: x (width) -> token t of `to`, a member of `tile`. If an element of a group is not finite, the
/// scale is NaN, and so are the results.
template <std::size_t Bits>
void quantize_token(const float* x, std::size_t t, const token_tile& tile, std::size_t first, std::size_t end,
                    const quantized_tokens& to) noexcept {
    constexpr std::size_t group = quantized_rows<Bits>::group;
    constexpr float least = 1e-36f; // smallest magnitude for which 127 / top does not overflow
    static constexpr float nothing[group] = {};
    using batch = arch::simd<>::batch;
    x += first * group;
    std::int8_t* codes = to.codes + tile.first * to.width + first * group * tile.count + 4 * (t - tile.first);
    for (std::size_t g = first; g < end; ++g, x += group) {
        batch tops(0.f), strays(0.f); // `strays` detects NaN and infinity: max may ignore NaN, but 0 · NaN and 0 · infinity are NaN
        for (std::size_t i = 0; i < group; i += batch::size) {
            const batch some = batch::load_unaligned(x + i);
            tops = xsimd::max(tops, xsimd::abs(some));
            strays += some * batch(0.f);
        }
        const float top = compat::reduce_max(tops) + compat::reduce_add(strays);
        const bool counts = top >= least; // false for NaN
        const float* const values = counts ? x : nothing;
        const float inverse = counts ? 127.f / top : 0.f;
        std::int8_t rounded[group];
        int sum = 0;
        for (std::size_t i = 0; i < group; ++i) {
            const float scaled = values[i] * inverse; // rounds half away from zero, which vectorizes everywhere
            const int code = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
            rounded[i] = static_cast<std::int8_t>(code);
            sum += code;
        }
        for (std::size_t i = 0; i < group; i += 4, codes += 4 * tile.count) std::memcpy(codes, rounded + i, 4);
        const std::size_t at = tile.first * to.groups + g * tile.count + (t - tile.first);
        to.scales[at] = top / 127.f;
        to.begins[at] = (Bits == 4 ? -8 : -128) * sum;
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
