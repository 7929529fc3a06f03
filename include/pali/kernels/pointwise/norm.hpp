// RMSNorm (Gemma) and LayerNorm (SigLIP) over rows.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/rows.hpp>

#include <cmath>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/**
 * Computes y = x / sqrt(mean(x²) + eps) · (1 + scale), row by row. In Gemma's form a stored scale of 0 is the identity.
 * x (T, D); scale (D); y (T, D), may be x. Never throws, never allocates.
 * See big_vision models/ppp/gemma.py RMSNorm; transformers modeling_gemma2.py Gemma2RMSNorm.
 */
template <class A>
void rms_norm(arch::simd<A>, rows<const float> x, const float* scale, float eps, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == y.count && x.width == y.width);
    const std::size_t whole = x.width / batch::size * batch::size;
    for (std::size_t t = 0; t < x.count; ++t) {
        const float* const in = x[t];
        float* const out = y[t];
        batch squares(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i);
            squares = arch::fma(v, v, squares);
        }
        float sum = compat::reduce_add(squares);
        for (std::size_t i = whole; i < x.width; ++i) sum += in[i] * in[i];
        const float inverse = 1.f / std::sqrt(sum / static_cast<float>(x.width) + eps);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i) * batch(inverse);
            (v * (batch::load_unaligned(scale + i) + batch(1.f))).store_unaligned(out + i);
        }
        for (std::size_t i = whole; i < x.width; ++i) out[i] = in[i] * inverse * (1.f + scale[i]);
    }
}

/**
 * Computes y = (x - mean) / sqrt(var + eps) · scale + bias, row by row, with the biased variance (divided by D).
 * x (T, D); scale, bias (D); y (T, D), may be x. Never throws, never allocates.
 * See Ba et al., arXiv 1607.06450; torch.nn.LayerNorm.
 */
template <class A>
void layer_norm(arch::simd<A>, rows<const float> x, const float* scale, const float* bias, float eps, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == y.count && x.width == y.width);
    const std::size_t whole = x.width / batch::size * batch::size;
    const float width = static_cast<float>(x.width);
    for (std::size_t t = 0; t < x.count; ++t) {
        const float* const in = x[t];
        float* const out = y[t];
        batch sums(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) sums += batch::load_unaligned(in + i);
        float sum = compat::reduce_add(sums);
        for (std::size_t i = whole; i < x.width; ++i) sum += in[i];
        const float mean = sum / width;
        batch squares(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i) - batch(mean);
            squares = arch::fma(v, v, squares);
        }
        float square = compat::reduce_add(squares);
        for (std::size_t i = whole; i < x.width; ++i) square += (in[i] - mean) * (in[i] - mean);
        const float inverse = 1.f / std::sqrt(square / width + eps);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = (batch::load_unaligned(in + i) - batch(mean)) * batch(inverse);
            arch::fma(v, batch::load_unaligned(scale + i), batch::load_unaligned(bias + i)).store_unaligned(out + i);
        }
        for (std::size_t i = whole; i < x.width; ++i) out[i] = (in[i] - mean) * inverse * scale[i] + bias[i];
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
