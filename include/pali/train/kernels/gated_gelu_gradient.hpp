// Backward pass of the gated GELU of Gemma's MLP.
#pragma once

#include <pali/train/kernels/gelu_gradient.hpp>

#include <algorithm>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/**
 * Gradients of y = gelu(gate) · up, for n elements:
 *
 *     dgate = dy · up · gelu'(gate)
 *     dup   = dy · gelu(gate)
 *
 * dgate may be gate, dup may be up, and either may be dy. See Shazeer, arXiv 2002.05202.
 */
template <class A>
void gated_gelu_backward(arch::simd<A>, const float* gate, const float* up, const float* dy, float* dgate, float* dup,
                         std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    const auto step = [](const float* g, const float* u, const float* d, float* to_gate, float* to_up) PALI_ALWAYS_INLINE {
        const auto point = gelu_point<batch>::at(batch::load_unaligned(g));
        const auto other = batch::load_unaligned(u), y = batch::load_unaligned(d);
        (y * other * point.slope).store_unaligned(to_gate);
        (y * point.value).store_unaligned(to_up);
    };
    const std::size_t whole = n / batch::size * batch::size;
    for (std::size_t i = 0; i < whole; i += batch::size) step(gate + i, up + i, dy + i, dgate + i, dup + i);
    if (whole == n) return;
    float lanes[5][batch::size] = {}; // the rest, zero-padded
    for (std::size_t i = whole; i < n; ++i) {
        lanes[0][i - whole] = gate[i];
        lanes[1][i - whole] = up[i];
        lanes[2][i - whole] = dy[i];
    }
    step(lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]);
    std::copy_n(lanes[3], n - whole, dgate + whole);
    std::copy_n(lanes[4], n - whole, dup + whole);
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
