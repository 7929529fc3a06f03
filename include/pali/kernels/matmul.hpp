// y = x · wᵀ + bias, with the weights as they lie in the file: (out, in), 16 or 32 bits, neither repacked nor copied.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace pali::inline PALI_ABI::kernels {

/// Numbers that a weight matrix can be stored in.
template <class T>
concept weight_element = std::same_as<T, float> || std::same_as<T, bfloat16>;

namespace detail {

/// Half of 2 · lanes consecutive weights: the first and the second lanes of them.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const float* w) noexcept {
    using batch = xsimd::batch<float, A>;
    return batch::load_unaligned(w + Half * batch::size);
}

/// A 32-bit lane holds two bfloat16: the even one is its low half, shifted up, the odd one its high half. No shuffle is needed,
/// if the activations lie in the same order: evens, then odds.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const bfloat16* w) noexcept {
    using bits = xsimd::batch<std::uint32_t, A>;
    const auto both = bits::load_unaligned(reinterpret_cast<const std::uint32_t*>(w));
    return compat::as_float<A>(Half == 0 ? both << 16 : both & bits(0xffff0000u));
}

/// Copies a row of activations into the order that load_half gives weights in, zero-padded to whole pairs.
template <class A, weight_element Element>
void pack_row(arch::simd<A>, const float* x, std::size_t width, float* packed) noexcept {
    constexpr std::size_t lanes = arch::simd<A>::lanes, pair = 2 * lanes;
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

/// Part of a row that is worked on at once: six rows of activations of it stay in a first-level cache of 32 KiB while columns go by.
inline constexpr std::size_t depth_block = 768;

/// Numbers [begin, end) of sums that begin at zero or go on from `state`, and end as y = sum + bias or stay in `state`.
template <class A>
struct partial_sums {
    xsimd::batch<float, A>* state = nullptr; ///< R · C, or null where the sums are made in one go
    std::size_t begin = 0, end = 0;
};

/// y[r][c] = sum over k of x[r][k] · w[c][k], for R rows and C columns held in registers. Every sum takes its terms in the same
/// order for every R and C and cut anywhere, so that a token's result does not depend on how many came with it.
template <std::size_t R, std::size_t C, class A, class Element>
void dot_tile(arch::simd<A> tag, rows<const float> x, rows<const Element> w, const partial_sums<A>& part, const float* bias, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr std::size_t lanes = batch::size, pair = 2 * lanes;
    const std::size_t whole = std::min(part.end, w.width / pair * pair);
    batch sums[R][C];
    PALI_UNROLL
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t c = 0; c < C; ++c) sums[r][c] = part.begin == 0 ? batch(0.f) : part.state[r * C + c];
    // Half after half: R · C sums, C weights and one activation are what 16 registers hold.
    const auto step = [&]<std::size_t Half>(const auto& weights, std::size_t k, std::integral_constant<std::size_t, Half>) PALI_ALWAYS_INLINE {
        batch weight[C];
        for (std::size_t c = 0; c < C; ++c) weight[c] = load_half<Half>(tag, weights(c));
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const batch value = batch::load_aligned(x[r] + k + Half * lanes);
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = xsimd::fma(value, weight[c], sums[r][c]);
        }
    };
    const auto both = [&](const auto& weights, std::size_t k) PALI_ALWAYS_INLINE {
        step(weights, k, std::integral_constant<std::size_t, 0>{});
        if constexpr (R * C >= 12) PALI_READ_AGAIN;
        step(weights, k, std::integral_constant<std::size_t, 1>{});
    };
    PALI_NO_UNROLL
    for (std::size_t k = part.begin; k < whole; k += pair) {
        // One row at a time runs at the speed of memory, and the processor's own prefetching starts anew with every row of weights.
        if constexpr (R == 1)
            for (std::size_t c = 0; c < C; ++c) __builtin_prefetch(w[c + C] + k);
        both([&](std::size_t c) { return w[c] + k; }, k);
    }
    if (part.end < w.width) {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            for (std::size_t c = 0; c < C; ++c) part.state[r * C + c] = sums[r][c];
        return;
    }
    if (whole != w.width) { // the row ends inside a pair, and what lies behind it may not be ours to read
        alignas(64) Element rest[C][pair] = {};
        for (std::size_t c = 0; c < C; ++c) std::memcpy(rest[c], w[c] + whole, (w.width - whole) * sizeof(Element));
        both([&](std::size_t c) { return rest[c]; }, whole);
    }
    PALI_UNROLL
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t c = 0; c < C; ++c) y[r][c] = compat::reduce_add(sums[r][c]) + (bias ? bias[c] : 0.f);
}

/// Calls tile(first, integral_constant<R>) for rows [0, count), in tiles of the first of Sizes as long as they fit, then of the next; the last size is 1.
/// Eight rows are twice four: six and two would leave a tile that is bound by loads.
template <std::size_t... Sizes, class Tile>
void for_row_tiles(std::size_t count, Tile&& tile) {
    std::size_t r = 0;
    const auto in_tiles = [&]<std::size_t R>(std::integral_constant<std::size_t, R> rows) {
        for (; r + R <= count && !(R == 6 && count - r == 8); r += R) tile(r, rows);
    };
    (in_tiles(std::integral_constant<std::size_t, Sizes>{}), ...);
}

/// Columns of a tile beside R rows: 12 sums, or 24 where there are 32 registers; two or four for the rows that are left.
template <class A, std::size_t R>
inline constexpr std::size_t column_tile = (R == 4 ? 3 : 2) * (arch::simd<A>::registers / 16);

/// Columns of weights that a thread takes at once: of 2304 bfloat16 they are 288 KiB, well inside a second-level cache.
inline constexpr std::size_t columns_a_task = 64;

/// All rows of x against the columns [0, w.count) of y; at most columns_a_task.
template <class A, class Element>
void dot_rows(arch::simd<A> tag, rows<const float> x, rows<const Element> w, const float* bias, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(w.count <= columns_a_task);
    for_row_tiles<6, 4, 2, 1>(x.count, [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R>) {
        constexpr std::size_t C = column_tile<A, R>;
        batch state[R == 1 ? 1 : R * columns_a_task];
        const std::size_t block = R == 1 ? w.width : depth_block; // one row meets each weight once, whatever is in the caches
        std::size_t begin = 0;
        do {
            const std::size_t end = std::min(w.width, begin + block);
            const auto tiles = [&]<std::size_t Columns>(std::size_t c, std::integral_constant<std::size_t, Columns>) {
                dot_tile<R, Columns>(tag, x.slice(r, R), w.slice(c, Columns), {R == 1 ? nullptr : state + R * c, begin, end}, bias ? bias + c : nullptr,
                                     rows<float>(y.data + c, y.count, y.width, y.stride).slice(r, R));
            };
            std::size_t c = 0;
            for (; c + C <= w.count; c += C) tiles(c, std::integral_constant<std::size_t, C>{});
            for (; c < w.count; ++c) tiles(c, std::integral_constant<std::size_t, 1>{});
            begin = end;
        } while (begin < w.width);
    });
}

/// The product, with the weights of columns [first, first + n) as panel(first, n, thread) gives them.
template <class Element, class A, class Panel>
void multiply(arch::simd<A> tag, rows<const float> x, Panel&& panel, const float* bias, rows<float> y, thread_pool& threads, arena& scratch) {
    constexpr std::size_t pair = 2 * arch::simd<A>::lanes;
    constexpr std::size_t rows_a_task = 16;
    const arena::frame frame(scratch);
    const std::size_t packed_width = (x.width + pair - 1) / pair * pair;
    const rows<float> packed(scratch.take(x.count * packed_width), x.count, packed_width);
    threads.run((x.count + rows_a_task - 1) / rows_a_task, [&](std::size_t task) {
        for (std::size_t t = task * rows_a_task; t < std::min(x.count, (task + 1) * rows_a_task); ++t) pack_row<A, Element>(tag, x[t], x.width, packed[t]);
    });
    threads.run((y.width + columns_a_task - 1) / columns_a_task, [&](std::size_t task, std::size_t thread) {
        const std::size_t first = task * columns_a_task, n = std::min(columns_a_task, y.width - first);
        dot_rows(tag, rows<const float>(packed), panel(first, n, thread), bias ? bias + first : nullptr, rows<float>(y.data + first, y.count, n, y.stride));
    });
}

} // namespace detail

/**
 * y = x · wᵀ + bias. x (T, K) float; w (N, K) as stored; bias (N) or null; y (T, N), not x.
 * Accumulates in float32; the order of each sum depends on K alone, so results are the same for any T and any number of threads.
 * 2·T·N·K flop; reads w once a call from memory, and once a row tile from the second-level cache. Takes T·K floats of scratch.
 */
template <class A, weight_element Element>
void matmul(arch::simd<A> tag, rows<const float> x, rows<const Element> w, const float* bias, rows<float> y, thread_pool& threads, arena& scratch) {
    PALI_ASSERT(x.width == w.width && y.width == w.count && y.count == x.count);
    detail::multiply<Element>(tag, x, [&](std::size_t first, std::size_t n, std::size_t) { return w.slice(first, n); }, bias, y, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels
