// Backward pass of SigLIP's LayerNorm.
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
 * Gradients of y = n · scale + bias with n = (x - mean) · r and r = 1 / sqrt(var + eps), row by row; see kernels::layer_norm. With
 * g = dy · scale:
 *
 *     dx      = r · (g - mean(g) - n · mean(g · n))
 *     dscale += the sum of dy · n over all rows
 *     dbias  += the sum of dy over all rows
 *
 * x, dy, dx (T, D); scale, dscale, dbias (D). dscale and dbias may be null if they are frozen. dx must not alias x or dy.
 * See Ba et al., arXiv 1607.06450; the gradient is that of torch.nn.LayerNorm.
 */
template <class A>
void layer_norm_backward(arch::simd<A>, rows<const float> x, const float* scale, float eps, rows<const float> dy, rows<float> dx,
                         float* dscale, float* dbias, thread_pool& threads, arena& scratch) {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == dy.count && x.width == dy.width && x.count == dx.count && x.width == dx.width);
    const arena::frame frame(scratch);
    float *const means = scratch.take(x.count), *const inverse = scratch.take(x.count);
    const std::size_t width = x.width, whole = width / batch::size * batch::size;
    const float count = static_cast<float>(width);
    threads.run_blocks(x.count, kernels::norm_rows_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = first; t < first + n; ++t) {
            const float *const in = x[t], *const up = dy[t];
            float* const out = dx[t];
            batch sums(0.f);
            for (std::size_t i = 0; i < whole; i += batch::size) sums += batch::load_unaligned(in + i);
            float sum = compat::reduce_add(sums);
            for (std::size_t i = whole; i < width; ++i) sum += in[i];
            const float mean = sum / count;
            batch squares(0.f), gradients(0.f), products(0.f);
            for (std::size_t i = 0; i < whole; i += batch::size) {
                const auto v = batch::load_unaligned(in + i) - batch(mean);
                const auto g = batch::load_unaligned(up + i) * batch::load_unaligned(scale + i);
                squares = arch::fma(v, v, squares);
                gradients += g;
                products = arch::fma(g, v, products);
            }
            float square = compat::reduce_add(squares), gradient = compat::reduce_add(gradients), product = compat::reduce_add(products);
            for (std::size_t i = whole; i < width; ++i) {
                const float v = in[i] - mean, g = up[i] * scale[i];
                square += v * v;
                gradient += g;
                product += g * v;
            }
            const float r = 1.f / std::sqrt(square / count + eps), mean_gradient = gradient / count, back = r * r * (product / count);
            means[t] = mean;
            inverse[t] = r;
            for (std::size_t i = 0; i < whole; i += batch::size) {
                const auto v = batch::load_unaligned(in + i) - batch(mean);
                const auto g = batch::load_unaligned(up + i) * batch::load_unaligned(scale + i);
                (batch(r) * (g - batch(mean_gradient) - v * batch(back))).store_unaligned(out + i);
            }
            for (std::size_t i = whole; i < width; ++i) out[i] = r * (up[i] * scale[i] - mean_gradient - (in[i] - mean) * back);
        }
    });
    if (dscale)
        add_over_rows(x.count, width, dscale, threads,
                      [&](std::size_t t, std::size_t i) { return dy[t][i] * (x[t][i] - means[t]) * inverse[t]; });
    if (dbias) bias_backward(dy, dbias, threads);
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
