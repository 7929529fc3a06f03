// Backward pass of rotary position embedding (RoPE).
#pragma once

#include <pali/arch/level.hpp>
#include <pali/kernels/pointwise/rope_table.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// Rotates the gradient of one head back by the angles of kernels::rotate, in place: a rotation is orthogonal, so its gradient is the
/// rotation with the negated sine.
inline void rotate_back(float* head, kernels::rope_angles by) noexcept {
    for (std::size_t i = 0; i < by.half; ++i) {
        const float a = head[i], b = head[by.half + i];
        head[i] = a * by.cosine[i] + b * by.sine[i];
        head[by.half + i] = b * by.cosine[i] - a * by.sine[i];
    }
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
