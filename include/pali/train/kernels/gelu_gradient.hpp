// Backward pass of GELU, the tanh approximation (SigLIP's MLP).
#pragma once

#include <pali/kernels/pointwise/activations.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// GELU at one point, with its derivative.
template <class Batch>
struct gelu_point {
    Batch value; ///< gelu(x)
    Batch slope; ///< gelu'(x)

    /// With t = tanh(√(2/π) (x + 0.044715 x³)): gelu = x/2 · (1 + t), gelu' = (1 + t)/2 + x/2 · (1 - t²) · √(2/π) (1 + 3 · 0.044715 x²).
    PALI_ALWAYS_INLINE static gelu_point at(const Batch& x) noexcept {
        const Batch root(0.7978845608028654f), half(0.5f), one(1.f), square = x * x;
        const Batch t = xsimd::tanh(root * arch::fma(Batch(0.044715f) * x, square, x)), upper = half * (one + t);
        const Batch inner = root * arch::fma(Batch(3 * 0.044715f), square, one);
        return {x * upper, arch::fma(half * x * (one - t * t), inner, upper)};
    }
};

/// dx = dy · gelu'(x) for n elements. dx may be dy or x.
template <class A>
void gelu_backward(arch::simd<A> tag, const float* x, const float* dy, float* dx, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    kernels::detail::map(tag, n, dx, [](const batch& v, const batch& up) { return up * gelu_point<batch>::at(v).slope; }, x, dy);
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
