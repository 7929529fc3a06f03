// The matrix product of the backward pass: y = a · b or y += a · b, with b row-major and a row-major or transposed. One blocked loop with
// packed panels around the register tile of attention (kernels/attention/rows_simd.hpp).
#pragma once

#include <pali/arch/cpu_caches.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/attention/rows_simd.hpp>
#include <pali/kernels/eight_floats.hpp>
#include <pali/kernels/product/read_row.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// What a product does with the previous content of its output.
enum class output {
    assign,    ///< y = a · b
    accumulate ///< y += a · b
};

/// Left factor as stored: a is (M, K).
struct stored_factor {
    rows<const float> values; ///< (M, K)

    [[nodiscard]] std::size_t count() const noexcept { return values.count; } ///< M
    [[nodiscard]] std::size_t depth() const noexcept { return values.width; } ///< K

    /// Rows [first, first + n) and columns [begin, begin + k) of a. Nothing is copied.
    [[nodiscard]] rows<const float> panel(std::size_t first, std::size_t n, std::size_t begin, std::size_t k, float*) const noexcept {
        return {values[first] + begin, n, k, values.stride};
    }
};

/// Left factor stored transposed: a = valuesᵀ, (M, K).
struct transposed_factor {
    rows<const float> values; ///< (K, M)

    [[nodiscard]] std::size_t count() const noexcept { return values.width; } ///< M
    [[nodiscard]] std::size_t depth() const noexcept { return values.count; } ///< K

    /// Rows [first, first + n) and columns [begin, begin + k) of a, transposed into `memory`, which has room for n · k floats.
    [[nodiscard]] rows<const float> panel(std::size_t first, std::size_t n, std::size_t begin, std::size_t k,
                                          float* memory) const noexcept {
        constexpr std::size_t side = 8;
        for (std::size_t r = 0; r < n; r += side)
            for (std::size_t i = 0; i < k; i += side) {
                const std::size_t height = std::min(side, n - r), width = std::min(side, k - i);
                const float* const from = values[begin + i] + first + r;
                float* const to = memory + r * k + i;
#if defined(__AVX2__)
                if (height == side && width == side) {
                    kernels::eight_floats square[side];
                    PALI_UNROLL
                    for (std::size_t c = 0; c < side; ++c)
                        square[c] = *reinterpret_cast<const kernels::eight_floats_in_memory*>(from + c * values.stride);
                    kernels::transpose(square);
                    PALI_UNROLL
                    for (std::size_t c = 0; c < side; ++c) *reinterpret_cast<kernels::eight_floats_in_memory*>(to + c * k) = square[c];
                    continue;
                }
#endif
                for (std::size_t c = 0; c < height; ++c)
                    for (std::size_t e = 0; e < width; ++e) to[c * k + e] = from[e * values.stride + c];
            }
        return {memory, n, k};
    }
};

/// One term of a product: a · b, with b row-major.
template <class Left, class Right>
struct product_term {
    Left a;  ///< (M, K): stored_factor or transposed_factor
    Right b; ///< (K, N): rows of float or bfloat16
};

/// Deduction guide, for compilers that do not deduce the template arguments of an aggregate.
template <class Left, class Right>
product_term(Left, Right) -> product_term<Left, Right>;

namespace product_detail {

/// Sizes of the blocks of a product. They do not influence the order of any sum.
struct block_sizes {
    std::size_t rows, columns, depth;

    /// Blocks of an (m, n) product whose panels and sums fill most of L2. There are several tasks per thread if the product is large
    /// enough.
    [[nodiscard]] static block_sizes of(std::size_t m, std::size_t n, std::size_t strip, std::size_t threads) noexcept {
        const bool large = arch::caches().l2 >= std::size_t{1} << 20;
        const std::size_t most_rows = large ? 288 : 144, most_columns = large ? 256 : 128, tasks_a_thread = 4;
        const std::size_t row_blocks = std::max<std::size_t>(1, (m + most_rows - 1) / most_rows);
        const std::size_t rows = ((m + row_blocks - 1) / row_blocks + 5) / 6 * 6;
        const std::size_t even = n * row_blocks / (tasks_a_thread * threads);
        return {rows, std::clamp(std::min(even, most_columns) / strip * strip, strip, std::max(strip, most_columns)), 256};
    }
};

/// Copies columns [first, first + n) of rows [begin, begin + k) of b to strips of `strip` columns, each (k, strip), as float32. The last
/// strip is zero-padded to whole registers of `lanes` columns.
template <class Element>
void pack_strips(const rows<const Element>& b, std::size_t begin, std::size_t k, std::size_t first, std::size_t n, std::size_t strip,
                 std::size_t lanes, float* to) noexcept {
    for (std::size_t i = 0; i < k; ++i)
        for (std::size_t c = 0; c < n; c += strip) {
            const std::size_t size = std::min(strip, n - c), padded = (size + lanes - 1) / lanes * lanes;
            float* const row = to + c * k + i * padded;
            kernels::read_row(rows<const Element>(b[begin + i] + first + c, 1, size, size), 0, row);
            std::fill(row + size, row + padded, 0.f);
        }
}

} // namespace product_detail

/**
 * Computes y = the sum of a · b over all terms, or adds that sum to y. Every a is (M, K) and every b is (K, N); K may differ from term to
 * term. y (M, N) must not alias a factor.
 *
 * Each element of the product is one sum in float32: its terms are added one by one, in the order of the terms and of K. Blocks and threads
 * only divide the elements, so bits do not depend on them.
 *
 * Cost: 2 · M · N · K flop; b is packed once per 288 rows of y. Scratch: up to 1 MB per thread.
 */
template <class A, class Left, class Right>
void multiply(arch::simd<A>, std::initializer_list<product_term<Left, Right>> terms, output how, rows<float> y, thread_pool& threads,
              arena& scratch) {
    using tile = kernels::rows_simd<A, float>;
    constexpr std::size_t lanes = arch::simd<A>::lanes, strip = std::max<std::size_t>(16, tile::template columns<6> * lanes);
    if (y.count == 0 || y.width == 0) return;
    const auto sizes = product_detail::block_sizes::of(y.count, y.width, strip, threads.size());
    const std::size_t row_blocks = (y.count + sizes.rows - 1) / sizes.rows, column_blocks = (y.width + sizes.columns - 1) / sizes.columns;
    const std::size_t left_floats = sizes.rows * sizes.depth, right_floats = sizes.depth * sizes.columns,
                      sum_floats = sizes.rows * sizes.columns, keep_floats = (sizes.rows + 15) / 16 * 16,
                      floats = (left_floats + right_floats + sum_floats + keep_floats + 15) / 16 * 16;
    const arena::frame frame(scratch);
    float* const memory = scratch.take(threads.size() * floats);
    threads.run(row_blocks * column_blocks, [&](std::size_t task, std::size_t thread) {
        const std::size_t row = task / column_blocks * sizes.rows, column = task % column_blocks * sizes.columns;
        const std::size_t m = std::min(sizes.rows, y.count - row), n = std::min(sizes.columns, y.width - column);
        float *const right = memory + thread * floats, *const keep = right + right_floats, *const left = keep + keep_floats;
        const rows<float> sums(left + left_floats, m, sizes.columns);
        std::fill(keep, keep + m, 1.f);
        bool first = true;
        for (const auto& [a, b] : terms) {
            PALI_ASSERT(a.count() == y.count && b.width == y.width && a.depth() == b.count);
            for (std::size_t begin = 0; begin < a.depth(); begin += sizes.depth) {
                const std::size_t k = std::min(sizes.depth, a.depth() - begin);
                const rows<const float> p = a.panel(row, m, begin, k, left);
                product_detail::pack_strips(b, begin, k, column, n, strip, lanes, right);
                for (std::size_t c = 0; c < n; c += strip) {
                    const std::size_t padded = (std::min(strip, n - c) + lanes - 1) / lanes * lanes;
                    const typename tile::weigher weigh(nullptr);
                    weigh(p, {right + c * k, padded}, first ? nullptr : keep, rows<float>(sums.data + c, m, padded, sums.stride));
                }
                first = false;
            }
        }
        for (std::size_t t = 0; t < m; ++t) {
            const float* const from = sums[t];
            float* const to = y[row + t] + column;
            if (first) std::fill(to, to + (how == output::assign ? n : 0), 0.f); // no terms
            else if (how == output::assign) std::copy(from, from + n, to);
            else
                for (std::size_t c = 0; c < n; ++c) to[c] += from[c];
        }
    });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
