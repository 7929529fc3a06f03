// y = x · wᵀ + bias, with the weights as they lie in the file: (out, in), 16 or 32 bits, neither repacked nor copied.
#pragma once

#include <pali/arch/caches.hpp>
#include <pali/arch/prefetch.hpp>
#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/factor.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <type_traits>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

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

/// Numbers of a row that are multiplied at once: a register of floats, or the two that a register of bfloat16 widens to.
template <class A, weight_element Element>
inline constexpr std::size_t numbers_at_once = arch::simd<A>::lanes * (std::same_as<Element, float> ? 1 : 2);

/// Copies a row of activations into the order that load_half gives weights in, zero-padded to whole pairs.
template <class A, weight_element Element>
void pack_row(arch::simd<A>, const float* x, std::size_t width, float* packed) noexcept {
    constexpr std::size_t lanes = arch::simd<A>::lanes, pair = numbers_at_once<A, Element>;
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

/// Numbers [begin, end) of sums that begin at zero or go on from `state`, and end as y = sum + bias or stay in `state`.
struct partial_sums {
    float* state = nullptr; ///< R · C registers, or null where the sums are made in one go
    std::size_t begin = 0, end = 0;
};

/// How xsimd makes products: activations stay float32, weights of `Element` are widened.
template <class A, weight_element Element>
struct simd_dot {
    using number = float;    ///< of packed activations
    using element = Element; ///< of weights
    static constexpr std::size_t lanes = arch::simd<A>::lanes, pair = numbers_at_once<A, Element>; ///< of a register of sums; numbers that are multiplied at once
    /// Columns of a tile beside R rows: 12 sums, or 24 where there are 32 registers.
    template <std::size_t R>
    static constexpr std::size_t columns = (R == 4 ? 3 : 2) * (arch::simd<A>::registers / 16);

    static constexpr bool in_parts = true; ///< rows are worked on part by part of their depth

    static void pack(const float* x, std::size_t width, float* packed) noexcept { pack_row<A, Element>({}, x, width, packed); }

    /// y[r][c] = sum over k of x[r][k] · w[c][k], for R rows and C columns held in registers. Every sum takes its terms in the same
    /// order for every R and C and cut anywhere, so that a token's result does not depend on how many came with it.
    template <std::size_t R, std::size_t C>
    static void tile(rows<const float> x, rows<const Element> w, const partial_sums& part, const float* bias, rows<float> y) noexcept {
        using batch = xsimd::batch<float, A>;
        const std::size_t whole = std::min(part.end, w.width / pair * pair);
        batch sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = part.begin == 0 ? batch(0.f) : batch::load_aligned(part.state + (r * C + c) * lanes);
        const float* row[R]; // g++ would hold both halves of each in registers, and not all of them
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            row[r] = x[r];
            PALI_WORKED_OUT(row[r]);
        }
        // Half after half: R · C sums, C weights and one activation are what 16 registers hold.
        const auto step = [&]<std::size_t Half>(const auto& weights, std::size_t k, std::integral_constant<std::size_t, Half>) PALI_ALWAYS_INLINE {
            batch weight[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) weight[c] = load_half<Half>(arch::simd<A>{}, weights(c));
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                batch value = batch::load_aligned(row[r] + k + Half * lanes);
                if constexpr (R == 6 || R * C < 12) PALI_IN_REGISTER(value.data); // beside three columns of four rows no register is left for it
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
            // Few rows run at the speed of memory, and the processor's own prefetching starts anew with every row of weights.
            if constexpr (R < 6)
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) arch::fetch_ahead(w[c + 2 * C] + k);
            both([&](std::size_t c) { return w[c] + k; }, k);
        }
        if (part.end < w.width) {
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r)
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) sums[r][c].store_aligned(part.state + (r * C + c) * lanes);
            return;
        }
        if (whole != w.width) { // the row ends inside a pair, and what lies behind it may not be ours to read
            alignas(64) Element rest[C][pair] = {};
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) std::memcpy(rest[c], w[c] + whole, (w.width - whole) * sizeof(Element));
            both([&](std::size_t c) { return rest[c]; }, whole);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) y[r][c] = compat::reduce_add(sums[r][c]) + (bias ? bias[c] : 0.f);
    }
};

/// Calls tile(first, integral_constant<N>) for rows [0, count): tiles of R as long as they fit, then of 4, 2 and 1. Eight rows are twice four: six and two
/// would leave a tile that is bound by loads.
template <std::size_t R, class Tile>
void for_row_tiles(std::size_t count, Tile&& tile) {
    std::size_t r = 0;
    const auto in_tiles = [&]<std::size_t Rows>(std::integral_constant<std::size_t, Rows> rows) {
        if constexpr (Rows <= R)
            for (; r + Rows <= count && !(Rows == 6 && count - r == 8); r += Rows) tile(r, rows);
    };
    if constexpr (R > 4) in_tiles(std::integral_constant<std::size_t, R>{});
    in_tiles(std::integral_constant<std::size_t, 4>{});
    in_tiles(std::integral_constant<std::size_t, 2>{});
    in_tiles(std::integral_constant<std::size_t, 1>{});
}

/// Calls tile(first, integral_constant<N>) for columns [0, count): tiles of C, then single ones.
template <std::size_t C, class Tile>
PALI_ALWAYS_INLINE inline void for_column_tiles(std::size_t count, Tile&& tile) {
    std::size_t c = 0;
    for (; c + C <= count; c += C) tile(c, std::integral_constant<std::size_t, C>{});
    for (; c < count; ++c) tile(c, std::integral_constant<std::size_t, 1>{});
}

/// Tokens from which a product is bound by arithmetic and no longer by reading weights.
inline constexpr std::size_t many_rows = 16;

/// Columns of weights that a thread takes at once, at most: a multiple of all tiles and strips. Rows whose sums are kept until their last part is added, at most: a
/// multiple of all tiles.
inline constexpr std::size_t most_columns = 96, most_rows = 288;

/// Numbers of a row that are worked on at once: all of them, or, of many rows, even parts of which six rows take three quarters of the first-level cache and stay there
/// while columns go by.
template <class Dot>
[[nodiscard]] std::size_t depth_at_once(std::size_t tokens, std::size_t width) noexcept {
    const std::size_t most = std::max(Dot::pair, arch::caches().first * 3 / 4 / (6 * sizeof(typename Dot::number)));
    if (!Dot::in_parts || tokens < many_rows || width <= most) return width;
    const std::size_t parts = (width + most - 1) / most;
    return ((width + parts - 1) / parts + Dot::pair - 1) / Dot::pair * Dot::pair;
}

/// How many columns of `count` a thread takes: what half of the second-level cache holds of `bytes` of each, and fewer where threads would wait for the last.
[[nodiscard]] inline std::size_t columns_a_task(std::size_t bytes, std::size_t count, std::size_t threads) noexcept {
    constexpr std::size_t least = 24, tasks_a_thread = 4;
    const std::size_t near = arch::caches().second / 2 / std::max<std::size_t>(1, bytes), even = count / (tasks_a_thread * threads);
    return std::clamp(std::min(near, even) / least * least, least, most_columns);
}

/// All packed rows of x against the columns [0, w.count) of y; at most most_columns. Few rows meet a column together, when it comes from memory. Of many, a part of
/// their depth meets that part of all columns, which stays in the second-level cache, before the next: six rows at a time, which stay in the first.
/// `sums` has room for lanes · w.count of most_rows rows, or is null where a part is all.
template <class Dot>
void dot_rows(rows<const typename Dot::number> x, rows<const typename Dot::element> w, const float* bias, rows<float> y, std::size_t depth, float* sums) noexcept {
    PALI_ASSERT(w.count <= most_columns);
    const auto tile = [&]<std::size_t R, std::size_t C>(std::size_t r, std::size_t c, const partial_sums& part, std::integral_constant<std::size_t, R>,
                                                        std::integral_constant<std::size_t, C>) {
        Dot::template tile<R, C>(x.slice(r, R), w.slice(c, C), part, bias ? bias + c : nullptr, rows<float>(y.data + c, y.count, y.width, y.stride).slice(r, R));
    };
    const partial_sums whole{.end = w.width};
    if (x.count == 1) return for_column_tiles<Dot::template columns<1>>(w.count, [&](std::size_t c, auto C) { tile(0, c, whole, std::integral_constant<std::size_t, 1>{}, C); });
    if (x.count < many_rows)
        return for_column_tiles<Dot::template columns<4>>(w.count, [&](std::size_t c, auto C) { for_row_tiles<4>(x.count, [&](std::size_t r, auto R) { tile(r, c, whole, R, C); }); });
    for (std::size_t first = 0; first < x.count; first += most_rows)
        for (std::size_t begin = 0; begin < w.width; begin += depth)
            for_row_tiles<6>(std::min(most_rows, x.count - first), [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R> rows) {
                for_column_tiles<Dot::template columns<R>>(w.count, [&](std::size_t c, auto C) {
                    float* const state = sums ? sums + (r * w.count + R * c) * Dot::lanes : nullptr;
                    tile(first + r, c, {state, begin, std::min(w.width, begin + depth)}, rows, C);
                });
            });
}

/// The products, with columns [first, first + n) of a matrix as panel(weights, first, n, thread) gives them, n at most most_columns.
template <class Dot, class Weights, class Panel>
void multiply(rows<const float> x, std::initializer_list<factor<Weights>> with, Panel&& panel, thread_pool& threads, arena& scratch) {
    using number = typename Dot::number;
    constexpr std::size_t rows_a_task = 16;
    const arena::frame frame(scratch);
    const std::size_t packed_width = (x.width + Dot::pair - 1) / Dot::pair * Dot::pair;
    const rows<number> packed(reinterpret_cast<number*>(scratch.take((x.count * packed_width * sizeof(number) + 3) / 4)), x.count, packed_width);
    threads.run_blocks(x.count, rows_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = first; t < first + n; ++t) Dot::pack(x[t], x.width, packed[t]);
    });
    const std::size_t depth = depth_at_once<Dot>(x.count, x.width), sums_a_thread = std::min(x.count, most_rows) * most_columns * Dot::lanes;
    float* const sums = depth < x.width ? scratch.take(threads.size() * sums_a_thread) : nullptr;
    const std::size_t columns = columns_a_task(depth * sizeof(typename Dot::element), outputs_of(with), threads.size());
    for_outputs(with, columns, threads, [&](const factor<Weights>& of, std::size_t first, std::size_t n, std::size_t thread) {
        PALI_ASSERT(x.width == of.weights.width && of.y.width == of.weights.count && of.y.count == x.count);
        dot_rows<Dot>(rows<const number>(packed), panel(of.weights, first, n, thread), of.bias ? of.bias + first : nullptr, rows<float>(of.y.data + first, of.y.count, n, of.y.stride), depth,
                      sums ? sums + thread * sums_a_thread : nullptr);
    });
}

/// Panels that are the rows of weights where they lie.
inline constexpr auto stored_rows = [](const auto& w, std::size_t first, std::size_t n, std::size_t) { return w.slice(first, n); };

} // namespace detail

/**
 * y = x · wᵀ + bias for each factor. x (T, K) float.
 * Accumulates in float32; the order of each sum depends on K alone, so results are the same for any T and any number of threads.
 * 2·T·N·K flop; reads w once a call from memory (of 288 rows), and once a row tile from the second-level cache. Takes T·K floats of scratch, and with many rows up to two megabytes a thread.
 */
template <class A, weight_element Element>
void matmul(arch::simd<A>, rows<const float> x, std::initializer_list<factor<rows<const Element>>> with, thread_pool& threads, arena& scratch) {
    detail::multiply<detail::simd_dot<A, Element>>(x, with, detail::stored_rows, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
