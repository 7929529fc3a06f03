// Rows of weights as floats, for embeddings.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/quantized.hpp>
#include <pali/core/rows.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// One row in float32: exact.
template <class Element>
void read_row(const rows<const Element>& w, std::size_t row, float* to) noexcept {
    for (std::size_t i = 0; i < w.width; ++i) to[i] = static_cast<float>(w[row][i]);
}

/// One row of code · scale in float32: exact.
template <std::size_t Bits>
void read_row(const quantized_rows<Bits>& w, std::size_t row, float* to) noexcept {
    for (std::size_t k = 0; k < w.width; ++k) to[k] = w.scale(row, k) * static_cast<float>(w.code(row, k));
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
