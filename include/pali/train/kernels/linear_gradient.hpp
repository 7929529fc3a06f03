// Backward pass of a linear map, y = x · wᵀ + bias. That of the bias is bias_backward().
#pragma once

#include <pali/train/kernels/blocked_product.hpp>
#include <pali/train/kernels/sums_over_rows.hpp>

#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// Computes dx = the sum of dy · w over the linear maps of x: three for Q, K and V, two for gate and up. Each term is {dy (T, N), w (N,
/// K)}; N may differ. dx (T, K) must not alias a dy. Weights are float32, or bfloat16 that is widened.
template <class A, kernels::weight_element Element>
void linear_input_backward(arch::simd<A> tag, std::initializer_list<product_term<stored_factor, rows<const Element>>> maps, rows<float> dx,
                           thread_pool& threads, arena& scratch) {
    multiply(tag, maps, output::assign, dx, threads, scratch);
}

/// Computes dw += dyᵀ · x; dy (T, N), x (T, K), dw (N, K).
template <class A>
void linear_weight_backward(arch::simd<A> tag, rows<const float> dy, rows<const float> x, rows<float> dw, thread_pool& threads,
                            arena& scratch) {
    PALI_ASSERT(dy.count == x.count && dw.count == dy.width && dw.width == x.width);
    multiply(tag, {product_term{transposed_factor{dy}, x}}, output::accumulate, dw, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
