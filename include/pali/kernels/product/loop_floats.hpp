// GEMM y = x · wᵀ + bias with the weights as stored: (out, in), 16 or 32 bits per element, neither repacked nor copied. This is the loop
// over register tiles; the dot product is a policy.
#pragma once

#include <pali/arch/cpu_caches.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/product/dot_floats_simd.hpp>
#include <pali/kernels/product/operand.hpp>
#include <pali/kernels/register_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace loop_detail {

/// Number of tokens from which a product is compute-bound. With fewer, reading the weights dominates.
inline constexpr std::size_t many_rows = 16;

/// Upper limits of the blocks that a thread works on: columns of w per task, and rows whose partial sums are kept from one K-block to the
/// next. Both are multiples of the sizes of all register tiles, and the columns also of the strip. A column is one output, which is a row
/// of w.
inline constexpr std::size_t most_columns = 96, most_rows = 288;

/// K-block: the number of elements of a row that are multiplied per pass over the columns. For few tokens, or if Dot does not split K, it
/// is the whole row. Otherwise K is split into equal blocks such that six packed rows fill at most 3/4 of L1 and stay there while columns
/// stream past.
template <class Dot>
[[nodiscard]] std::size_t depth_at_once(std::size_t tokens, std::size_t width) noexcept {
    const std::size_t most = std::max(Dot::pair, arch::caches().l1 * 3 / 4 / (6 * sizeof(typename Dot::input)));
    if (!Dot::in_parts || tokens < many_rows || width <= most) return width;
    const std::size_t parts = (width + most - 1) / most;
    return ((width + parts - 1) / parts + Dot::pair - 1) / Dot::pair * Dot::pair;
}

/// Columns of w per task: as many as fit in half of L2 at `bytes` each, but fewer if threads would otherwise wait long for the last task.
[[nodiscard]] inline std::size_t columns_a_task(std::size_t bytes, std::size_t count, std::size_t threads) noexcept {
    constexpr std::size_t least = 24, tasks_a_thread = 4;
    const std::size_t near = arch::caches().l2 / 2 / std::max<std::size_t>(1, bytes), even = count / (tasks_a_thread * threads);
    return std::clamp(std::min(near, even) / least * least, least, most_columns);
}

/// Computes columns [0, w.count) of y for all packed rows of x; w.count is at most most_columns. With few rows, each tile of columns is
/// read from memory once and multiplied by all rows. With many rows, a K-block of all columns stays in L2. Six rows at a time, which stay
/// in L1, are multiplied by this block, before the next K-block begins. `sums` holds lanes · w.count partial sums for each of most_rows
/// rows; it is null if one K-block covers the row.
template <class Dot>
void dot_rows(rows<const typename Dot::input> x, rows<const typename Dot::element> w, const float* bias, rows<float> y, std::size_t depth,
              float* sums) noexcept {
    PALI_ASSERT(w.count <= most_columns);
    const auto tile = [&]<std::size_t R, std::size_t C>(std::size_t r, std::size_t c, const partial_sums& part,
                                                        std::integral_constant<std::size_t, R>, std::integral_constant<std::size_t, C>) {
        Dot::template tile<R, C>(x.slice(r, R), w.slice(c, C), part, bias ? bias + c : nullptr,
                                 rows<float>(y.data + c, y.count, y.width, y.stride).slice(r, R));
    };
    const partial_sums whole{.end = w.width};
    if (x.count == 1)
        return detail::for_column_tiles<Dot::template columns<1>>(
            w.count, [&](std::size_t c, auto C) { tile(0, c, whole, std::integral_constant<std::size_t, 1>{}, C); });
    if (x.count < many_rows)
        return detail::for_column_tiles<Dot::template columns<4>>(w.count, [&](std::size_t c, auto C) {
            detail::for_row_tiles<4>(x.count, [&](std::size_t r, auto R) { tile(r, c, whole, R, C); });
        });
    for (std::size_t first = 0; first < x.count; first += most_rows)
        for (std::size_t begin = 0; begin < w.width; begin += depth)
            detail::for_row_tiles<6>(std::min(most_rows, x.count - first),
                                     [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R> rows) {
                                         detail::for_column_tiles<Dot::template columns<R>>(w.count, [&](std::size_t c, auto C) {
                                             float* const state = sums ? sums + (r * w.count + R * c) * Dot::lanes : nullptr;
                                             tile(first + r, c, {state, begin, std::min(w.width, begin + depth)}, rows, C);
                                         });
                                     });
}

/// Computes the product for all operands. panel(weights, first, n, thread) returns columns [first, first + n) of one weight matrix; n is at
/// most most_columns.
template <class Dot, class Weights, class Panel>
void multiply(rows<const float> x, std::initializer_list<operand<Weights>> with, Panel&& panel, thread_pool& threads, arena& scratch) {
    using input = typename Dot::input;
    constexpr std::size_t rows_a_task = 16;
    const arena::frame frame(scratch);
    const std::size_t packed_width = (x.width + Dot::pair - 1) / Dot::pair * Dot::pair;
    const rows<input> packed(reinterpret_cast<input*>(scratch.take((x.count * packed_width * sizeof(input) + 3) / 4)), x.count,
                             packed_width);
    threads.run_blocks(x.count, rows_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = first; t < first + n; ++t) Dot::pack(x[t], x.width, packed[t]);
    });
    const std::size_t depth = depth_at_once<Dot>(x.count, x.width),
                      sums_a_thread = std::min(x.count, most_rows) * most_columns * Dot::lanes;
    float* const sums = depth < x.width ? scratch.take(threads.size() * sums_a_thread) : nullptr;
    const std::size_t columns = columns_a_task(depth * sizeof(typename Dot::element), outputs_of(with), threads.size());
    for_outputs(with, columns, threads, [&](const operand<Weights>& of, std::size_t first, std::size_t n, std::size_t thread) {
        PALI_ASSERT(x.width == of.weights.width && of.y.width == of.weights.count && of.y.count == x.count);
        dot_rows<Dot>(rows<const input>(packed), panel(of.weights, first, n, thread), of.bias ? of.bias + first : nullptr,
                      rows<float>(of.y.data + first, of.y.count, n, of.y.stride), depth, sums ? sums + thread * sums_a_thread : nullptr);
    });
}

} // namespace loop_detail

/**
 * Computes y = x · wᵀ + bias for each operand. x is (T, K) float32; `Dot` defines its rounding: dot_floats_simd keeps float32,
 * dot_bf16_avx512 rounds to bfloat16. Accumulates in float32. The order of each sum depends on K and Dot alone, so the result does not
 * depend on T or on the number of threads.
 *
 * Cost: 2·T·N·K flop; w is read from memory once per 288 rows and from L2 once per row tile. Scratch: T·K elements, and with many rows up
 * to 2 MB per thread.
 */
template <class Dot>
void loop_floats(rows<const float> x, std::initializer_list<operand<rows<const typename Dot::element>>> with, thread_pool& threads,
                 arena& scratch) {
    constexpr auto stored_rows = [](const auto& w, std::size_t first, std::size_t n, std::size_t) { return w.slice(first, n); };
    loop_detail::multiply<Dot>(x, with, stored_rows, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
