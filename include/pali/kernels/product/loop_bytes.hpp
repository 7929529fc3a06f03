// GEMM y = x · wᵀ + bias for quantized weights: by dot products of bytes, or by panels decoded to bfloat16.
#pragma once

#include <pali/kernels/product/dot_bytes_portable.hpp>
#include <pali/kernels/product/loop_floats.hpp>
#include <pali/kernels/product/read_strip.hpp>
#include <pali/kernels/register_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/**
 * Computes y = x · wᵀ + bias for each operand. Each token of x (T, K) is rounded to bytes, with a scale per group, and multiplied by the
 * codes as stored. Reads w from memory once: 4.5 or 8.25 bits per element. `Dot` is dot_bytes_portable or a kernel for the processor. A
 * token's result does not depend on other tokens.
 */
template <class Dot, std::size_t Bits>
void loop_bytes(rows<const float> x, std::initializer_list<operand<quantized_rows<Bits>>> with, thread_pool& threads, arena& scratch) {
    const arena::frame frame(scratch);
    const auto tokens = quantized_tokens::take<Bits>(scratch, x.count, x.width);
    // The tokens of a tile are interleaved, so one thread rounds all of them. Each block of Dot::tokens tokens is split into tiles
    // separately.
    const std::size_t groups_a_task = 64 / std::min(Dot::tokens, std::max<std::size_t>(1, x.count)); // a microsecond or two per task
    const std::size_t parts = (tokens.groups + groups_a_task - 1) / groups_a_task;
    threads.run((x.count + Dot::tokens - 1) / Dot::tokens * parts, [&](std::size_t task) {
        const std::size_t begin = task / parts * Dot::tokens, first = task % parts * groups_a_task;
        detail::for_row_tiles<Dot::tokens>(std::min(Dot::tokens, x.count - begin), [&](std::size_t r, std::size_t count) {
            const token_tile tile{begin + r, count};
            for (std::size_t t = tile.first; t < tile.first + count; ++t)
                quantize_token<Bits>(x[t], t, tile, first, std::min(tokens.groups, first + groups_a_task), tokens);
        });
    });
    constexpr std::size_t strip = quantized_rows<Bits>::strip, strips_a_task = 8;
    for_outputs(
        with, strips_a_task * strip, threads, [&](const operand<quantized_rows<Bits>>& of, std::size_t first, std::size_t n, std::size_t) {
            PALI_ASSERT(x.width == of.weights.width && of.y.width == of.weights.count && of.y.count == x.count);
            const std::size_t end = (first + n) / strip;
            for (std::size_t i = first / strip; i < end; i += Dot::strips) {
                const std::size_t last = std::min(i + Dot::strips, end) - 1,
                                  outputs = Dot::strips == 1 ? strip : (last + 1 - i) * strip; // the last call may have only one strip
                const float* const bias = of.bias ? of.bias + i * strip : nullptr;
                detail::for_row_tiles<Dot::tokens>(x.count, [&]<std::size_t R>(std::size_t t, std::integral_constant<std::size_t, R>) {
                    float sums[R][Dot::strips * strip];
                    Dot::dot(of.weights, i, last, tokens, t, sums);
                    for (std::size_t r = 0; r < R; ++r) {
                        for (std::size_t k = 0; bias && k < outputs; ++k) sums[r][k] += bias[k];
                        std::copy_n(sums[r], outputs, of.y[t + r] + i * strip);
                    }
                });
            }
        });
}

/**
 * Computes y = x · wᵀ + bias for many rows. Dequantizes the weights of a task to bfloat16 once and multiplies as loop_floats() does; x is
 * not rounded. Takes the scratch memory of loop_floats(), plus the bfloat16 weights of one task per thread.
 */
template <class A, std::size_t Bits>
void loop_panels(arch::simd<A>, rows<const float> x, std::initializer_list<operand<quantized_rows<Bits>>> with, thread_pool& threads,
                 arena& scratch) {
    const arena::frame frame(scratch);
    const std::size_t floats_a_thread = loop_detail::most_columns * x.width / 2;
    float* const memory = scratch.take(threads.size() * floats_a_thread);
    const auto panel = [&](const quantized_rows<Bits>& weights, std::size_t first, std::size_t n, std::size_t thread) {
        constexpr std::size_t strip = quantized_rows<Bits>::strip;
        const rows decoded(reinterpret_cast<bfloat16*>(memory + thread * floats_a_thread), n, weights.width);
        for (std::size_t i = 0; i < n; i += strip) read_strip(weights, (first + i) / strip, 0, decoded.slice(i, strip));
        return rows<const bfloat16>(decoded);
    };
    loop_detail::multiply<dot_floats_simd<A, bfloat16>>(x, with, panel, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
