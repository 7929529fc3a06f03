// Dot products of float32 activations with float32 or bfloat16 weights on xsimd: the policy of loop_floats() that runs on every processor.
#pragma once

#include <pali/arch/prefetch.hpp>
#include <pali/arch/simd.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Element types of a stored weight matrix.
template <class T>
concept weight_element = std::same_as<T, float> || std::same_as<T, bfloat16>;

namespace dot_detail {

/// Loads the first (Half = 0) or the second (Half = 1) half of 2 · lanes consecutive weights.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const float* w) noexcept {
    using batch = xsimd::batch<float, A>;
    return batch::load_unaligned(w + Half * batch::size);
}

/// Same, for bfloat16. A 32-bit lane holds two elements: the even one in its low half (shifted up), the odd one in its high half (masked).
/// No shuffle is needed, because the activations are packed in the same order: evens, then odds.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const bfloat16* w) noexcept {
    using bits = xsimd::batch<std::uint32_t, A>;
    const auto both = bits::load_unaligned(reinterpret_cast<const std::uint32_t*>(w));
    return compat::as_float<A>(Half == 0 ? both << 16 : both & bits(0xffff0000u));
}

/// Elements of a row per step: one register of float32, or the two registers that a register of bfloat16 widens to.
template <class A, weight_element Element>
inline constexpr std::size_t elements_at_once = arch::simd<A>::lanes * (std::same_as<Element, float> ? 1 : 2);

/// Copies a row of activations in the order in which load_half() returns weights, zero-padded to whole pairs.
template <class A, weight_element Element>
void pack_row(arch::simd<A>, const float* x, std::size_t width, float* packed) noexcept {
    constexpr std::size_t lanes = arch::simd<A>::lanes, pair = elements_at_once<A, Element>;
    const std::size_t whole = width / pair * pair;
    for (std::size_t k = 0; k < whole; k += pair) {
        if constexpr (std::same_as<Element, float>) {
            std::memcpy(packed + k, x + k, pair * sizeof(float));
        } else {
            for (std::size_t i = 0; i < lanes; ++i) {
                packed[k + i] = x[k + 2 * i];
                packed[k + lanes + i] = x[k + 2 * i + 1];
            }
        }
    }
    if (whole == width) return;
    std::fill(packed + whole, packed + whole + pair, 0.f);
    for (std::size_t k = whole; k < width; ++k) {
        const std::size_t i = k - whole;
        packed[whole + (std::same_as<Element, float> ? i : i / 2 + (i % 2) * lanes)] = x[k];
    }
}

} // namespace dot_detail

/// The K-block [begin, end) that a tile adds to its sums. In the first block the sums start at zero; in later blocks they continue from
/// `state`. The last block writes y = sum + bias; the others store the sums to `state`.
struct partial_sums {
    float* state = nullptr; ///< R · C registers; null if one block covers K
    std::size_t begin = 0;  ///< first element of the block
    std::size_t end = 0;    ///< one past the last element of the block
};

/// Dot-product policy on xsimd: activations stay float32, weights of type `Element` are widened to float32.
template <class A, weight_element Element>
struct dot_floats_simd {
    using input = float;                                                          ///< element type of packed activations
    using element = Element;                                                      ///< element type of weights
    static constexpr std::size_t lanes = arch::simd<A>::lanes;                    ///< floats of a register of sums
    static constexpr std::size_t pair = dot_detail::elements_at_once<A, Element>; ///< elements of a row per step
    /// Columns of a register tile of R rows. Tiles of four and six rows have 12 accumulators, or 24 if there are 32 registers.
    template <std::size_t R>
    static constexpr std::size_t columns = (R == 4 ? 3 : 2) * (arch::simd<A>::registers / 16);

    static constexpr bool in_parts = true; ///< K may be split into blocks

    /// Packs a row of activations in the order of the weights, zero-padded to whole pairs.
    static void pack(const float* x, std::size_t width, float* packed) noexcept { dot_detail::pack_row<A, Element>({}, x, width, packed); }

    /// Computes y[r][c] = sum over k of x[r][k] · w[c][k] + bias[c] for R rows and C columns, with the sums in registers. Every sum adds
    /// its terms in the same order for every R and C and for every split into K-blocks, so a token's result does not depend on the other
    /// tokens of the call.
    template <std::size_t R, std::size_t C>
    static void tile(rows<const float> x, rows<const Element> w, const partial_sums& part, const float* bias, rows<float> y) noexcept {
        using batch = xsimd::batch<float, A>;
        const std::size_t whole = std::min(part.end, w.width / pair * pair);
        batch sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c)
            sums[r][c] = part.begin == 0 ? batch(0.f) : batch::load_aligned(part.state + (r * C + c) * lanes);
        const float* row[R]; // without this array, g++ keeps a pointer to each half of each row and spills some of them
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            row[r] = x[r];
            PALI_WORKED_OUT(row[r]);
        }
        // One half at a time: R · C sums, C weights and one activation fit in 16 registers.
        const auto step = [&]<std::size_t Half>(const auto& weights, std::size_t k, std::integral_constant<std::size_t, Half>)
                              PALI_ALWAYS_INLINE {
                                  batch weight[C];
                                  PALI_UNROLL
                                  for (std::size_t c = 0; c < C; ++c) weight[c] = dot_detail::load_half<Half>(arch::simd<A>{}, weights(c));
                                  PALI_UNROLL
                                  for (std::size_t r = 0; r < R; ++r) {
                                      batch value = batch::load_aligned(row[r] + k + Half * lanes);
                                      if constexpr (R == 6 || R * C < 12)
                                          PALI_IN_REGISTER(value.data); // not in tiles of 4 x 3, which have no register left for `value`
                                      PALI_UNROLL
                                      for (std::size_t c = 0; c < C; ++c) sums[r][c] = arch::fma(value, weight[c], sums[r][c]);
                                  }
                              };
        const auto both = [&](const auto& weights, std::size_t k) PALI_ALWAYS_INLINE {
            step(weights, k, std::integral_constant<std::size_t, 0>{});
            if constexpr (pair == lanes) return;
            if constexpr (R * C >= 12) PALI_READ_AGAIN;
            step(weights, k, std::integral_constant<std::size_t, 1>{});
        };
        PALI_NO_UNROLL
        for (std::size_t k = part.begin; k < whole; k += pair) {
            // With few rows, the loop is bound by memory bandwidth, and the hardware prefetcher starts again with each row of weights.
            if constexpr (R < 6) PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) arch::fetch_ahead(w[c + 2 * C] + k);
            both([&](std::size_t c) { return w[c] + k; }, k);
        }
        if (part.end < w.width) {
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c].store_aligned(part.state + (r * C + c) * lanes);
            return;
        }
        if (whole != w.width) { // the row ends inside a pair, and the memory past its end may not be readable
            alignas(64) Element rest[C][pair] = {};
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) std::memcpy(rest[c], w[c] + whole, (w.width - whole) * sizeof(Element));
            both([&](std::size_t c) { return rest[c]; }, whole);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c) y[r][c] = compat::reduce_add(sums[r][c]) + (bias ? bias[c] : 0.f);
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
