// Elementwise functions over arrays: GELU, gated GELU and softcap.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/rows.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace detail {

/// Applies f, a function of batches, to n elements. The tail is computed in a padded batch, so every element is computed by the same code.
template <class A, class F, class... In>
PALI_ALWAYS_INLINE inline void map(arch::simd<A>, std::size_t n, float* out, F f, const In*... in) noexcept {
    using batch = xsimd::batch<float, A>;
    const std::size_t whole = n / batch::size * batch::size;
    for (std::size_t i = 0; i < whole; i += batch::size) f(batch::load_unaligned(in + i)...).store_unaligned(out + i);
    if (whole == n) return;
    const auto partial = [&](const float* from) {
        alignas(64) float lanes[batch::size] = {};
        for (std::size_t i = whole; i < n; ++i) lanes[i - whole] = from[i];
        return batch::load_aligned(lanes);
    };
    alignas(64) float lanes[batch::size];
    f(partial(in)...).store_aligned(lanes);
    for (std::size_t i = whole; i < n; ++i) out[i] = lanes[i - whole];
}

/// The tanh approximation of GELU (Hendrycks & Gimpel, arXiv 1606.08415, section 2): x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
template <class Batch>
[[nodiscard]] PALI_ALWAYS_INLINE inline Batch gelu_tanh(const Batch& x) noexcept {
    const Batch inner = Batch(0.7978845608028654f) * arch::fma(Batch(0.044715f) * x, x * x, x);
    return Batch(0.5f) * x * (Batch(1.f) + xsimd::tanh(inner));
}

} // namespace detail

/// x = gelu(x), the tanh approximation; n elements in place.
template <class A>
void gelu(arch::simd<A> tag, float* x, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    detail::map(tag, n, x, [](const batch& v) { return detail::gelu_tanh(v); }, static_cast<const float*>(x));
}

/// gate = gelu(gate) · up, the gated activation of Gemma's MLP (GeGLU, arXiv 2002.05202); n elements in place.
template <class A>
void gated_gelu(arch::simd<A> tag, float* gate, const float* up, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    detail::map(tag, n, gate, [](const batch& g, const batch& u) { return detail::gelu_tanh(g) * u; }, static_cast<const float*>(gate), up);
}

/// x = cap · tanh(x / cap), Gemma 2's soft limit on logits (arXiv 2408.00118, section 2); n elements in place.
template <class A>
void softcap(arch::simd<A> tag, float* x, std::size_t n, float cap) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(cap > 0);
    detail::map(tag, n, x, [cap](const batch& v) { return batch(cap) * xsimd::tanh(v / batch(cap)); }, static_cast<const float*>(x));
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
