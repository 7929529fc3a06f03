// Backward pass of Gemma's RMSNorm.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/rows.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/train/kernels/sums_over_rows.hpp>

#include <cmath>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/**
 * Gradients of y = x · r · (1 + scale) with r = 1 / sqrt(mean(x²) + eps), row by row; see kernels::rms_norm. With g = dy · (1 + scale):
 *
 *     dx      = r · g - x · r³ · mean(g · x)
 *     dscale += the sum of dy · x · r over all rows
 *
 * x, dy, dx (T, D); scale, dscale (D). dscale may be null if the scale is frozen. dx must not alias x or dy.
 * See Zhang and Sennrich, arXiv 1910.07467, section 4.
 */
template <class A>
void rms_norm_backward(arch::simd<A>, rows<const float> x, const float* scale, float eps, rows<const float> dy, rows<float> dx,
                       float* dscale, thread_pool& threads, arena& scratch) {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == dy.count && x.width == dy.width && x.count == dx.count && x.width == dx.width);
    const arena::frame frame(scratch);
    float* const inverse = scratch.take(x.count);
    const std::size_t width = x.width, whole = width / batch::size * batch::size;
    threads.run_blocks(x.count, kernels::norm_rows_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = first; t < first + n; ++t) {
            const float *const in = x[t], *const up = dy[t];
            float* const out = dx[t];
            batch squares(0.f), products(0.f);
            for (std::size_t i = 0; i < whole; i += batch::size) {
                const auto v = batch::load_unaligned(in + i);
                const auto g = batch::load_unaligned(up + i) * (batch::load_unaligned(scale + i) + batch(1.f));
                squares = arch::fma(v, v, squares);
                products = arch::fma(g, v, products);
            }
            float square = compat::reduce_add(squares), product = compat::reduce_add(products);
            for (std::size_t i = whole; i < width; ++i) {
                square += in[i] * in[i];
                product += up[i] * (1.f + scale[i]) * in[i];
            }
            const float r = 1.f / std::sqrt(square / static_cast<float>(width) + eps);
            const float back = r * r * r * (product / static_cast<float>(width));
            inverse[t] = r;
            for (std::size_t i = 0; i < whole; i += batch::size) {
                const auto g = batch::load_unaligned(up + i) * (batch::load_unaligned(scale + i) + batch(1.f));
                (g * batch(r) - batch::load_unaligned(in + i) * batch(back)).store_unaligned(out + i);
            }
            for (std::size_t i = whole; i < width; ++i) out[i] = up[i] * (1.f + scale[i]) * r - in[i] * back;
        }
    });
    if (dscale)
        add_over_rows(x.count, width, dscale, threads, [&](std::size_t t, std::size_t i) { return dy[t][i] * x[t][i] * inverse[t]; });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
