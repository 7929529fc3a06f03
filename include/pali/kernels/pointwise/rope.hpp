// Rotary position embedding (RoPE) of one head.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/kernels/pointwise/rope_table.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Rotates the pairs (i, half + i) of a head of 2 · half elements, in place. Su et al., arXiv 2104.09864, equation 34.
inline void rotate(float* head, rope_angles by) noexcept {
    for (std::size_t i = 0; i < by.half; ++i) {
        const float a = head[i], b = head[by.half + i];
        head[i] = a * by.cosine[i] - b * by.sine[i];
        head[by.half + i] = b * by.cosine[i] + a * by.sine[i];
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
