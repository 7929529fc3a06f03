// Residual connection.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/core/tensor.hpp>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// x += y, in place and without a temporary; the shapes are equal.
PALI_FLATTEN inline void add(matrix_view& x, const matrix_view& y) noexcept {
    PALI_ASSERT(x.shape() == y.shape());
    xt::noalias(arch::view(x)) += arch::view(y);
}

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
