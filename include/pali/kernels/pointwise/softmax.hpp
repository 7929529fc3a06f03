// Parts of a softmax over a long row: the index of the largest element, and the sum of exponentials.
#pragma once

#include <pali/arch/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Index of the largest of n elements, or of the first of them if several are equal. If there is a NaN, returns the index of the first NaN,
/// as torch.argmax does. Returns 0 if n is 0.
template <class A>
[[nodiscard]] std::size_t argmax(arch::simd<A>, const float* x, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    const std::size_t whole = n / batch::size * batch::size;
    batch tops(-std::numeric_limits<float>::infinity());
    auto numbers = tops == tops; // lanes without a NaN so far
    for (std::size_t i = 0; i < whole; i += batch::size) {
        const auto v = batch::load_unaligned(x + i);
        tops = xsimd::max(tops, v);
        numbers = numbers & (v == v);
    }
    bool ordered = xsimd::all(numbers);
    float top = compat::reduce_max(tops);
    for (std::size_t i = whole; i < n; ++i) {
        ordered = ordered && !std::isnan(x[i]);
        top = std::max(top, x[i]);
    }
    const float* const found = ordered ? std::find(x, x + n, top) : std::find_if(x, x + n, [](float v) { return std::isnan(v); });
    return n == 0 ? 0 : static_cast<std::size_t>(found - x);
}

/// `sum` plus the sum of exp(x - top) over n elements, none above `top`. Blocks are summed in float32, their sums in double. A row may be
/// passed in parts, with the result of one part as `sum` of the next: if all parts but the last have a multiple of 1024 elements, the bits
/// are those of a single call.
template <class A>
[[nodiscard]] double sum_of_exp(arch::simd<A>, const float* x, std::size_t n, float top, double sum = 0) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr std::size_t block = 32 * batch::size;
    static_assert(1024 % block == 0);
    const std::size_t whole = n / batch::size * batch::size;
    for (std::size_t at = 0; at < whole; at += block) {
        batch sums(0.f);
        for (std::size_t i = at; i < std::min(whole, at + block); i += batch::size)
            sums += xsimd::exp(batch::load_unaligned(x + i) - batch(top));
        sum += static_cast<double>(compat::reduce_add(sums));
    }
    for (std::size_t i = whole; i < n; ++i) sum += static_cast<double>(std::exp(x[i] - top));
    return sum;
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
