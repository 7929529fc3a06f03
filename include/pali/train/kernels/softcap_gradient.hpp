// Backward pass of Gemma 2's softcap.
#pragma once

#include <pali/kernels/pointwise/activations.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// dx = dy · (1 - (y / cap)²) for n elements, with the output y = cap · tanh(x / cap) of kernels::softcap. dx may be dy or y.
template <class A>
void softcap_backward(arch::simd<A> tag, const float* y, float cap, const float* dy, float* dx, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(cap > 0);
    kernels::detail::map(
        tag, n, dx,
        [cap](const batch& v, const batch& up) {
            const batch t = v / batch(cap);
            return up * (batch(1.f) - t * t);
        },
        y, dy);
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
