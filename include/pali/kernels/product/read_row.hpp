// Reads one row of weights as float32, for embeddings.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/quantized_rows.hpp>
#include <pali/core/rows.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Widens one row to float32; exact.
template <class Element>
void read_row(const rows<const Element>& w, std::size_t row, float* to) noexcept {
    for (std::size_t i = 0; i < w.width; ++i) to[i] = static_cast<float>(w[row][i]);
}

/// Dequantizes one row to float32 (code · scale); exact.
template <std::size_t Bits>
void read_row(const quantized_rows<Bits>& w, std::size_t row, float* to) noexcept {
    for (std::size_t k = 0; k < w.width; ++k) to[k] = w.scale(row, k) * static_cast<float>(w.code(row, k));
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
