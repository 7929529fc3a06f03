// Rows of weights as floats: for embeddings, and for products of many rows.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/quantised.hpp>
#include <pali/core/rows.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// One row in float32: exact.
template <class Element>
void read_row(const rows<const Element>& w, std::size_t row, float* to) noexcept {
    for (std::size_t i = 0; i < w.width; ++i) to[i] = static_cast<float>(w[row][i]);
}

/// One row of code · scale in float32: exact.
template <std::size_t Bits>
void read_row(const quantised_rows<Bits>& w, std::size_t row, float* to) noexcept {
    constexpr std::size_t group = quantised_rows<Bits>::group;
    const std::uint8_t* const codes = w.codes_of(row);
    const bfloat16* const scales = w.scales_of(row);
    for (std::size_t at = 0; at < w.width; at += quantised_piece) {
        for (std::size_t g = 0; g < quantised_piece; g += group) {
            const float scale = static_cast<float>(scales[(at + g) / group]);
            for (std::size_t i = 0; i < group; ++i) to[at + g + i] = scale * static_cast<float>(code_at<Bits>(codes, at + g + i));
        }
    }
}

/// The same, rounded to nearest even: 2^-9 of a number, where the code itself is off by 2^-5 or 2^-9 of the largest in its group.
template <std::size_t Bits>
void read_row(const quantised_rows<Bits>& w, std::size_t row, bfloat16* to) noexcept {
    constexpr std::size_t group = quantised_rows<Bits>::group;
    const std::uint8_t* codes = w.codes_of(row);
    const bfloat16* scale = w.scales_of(row);
    const auto put = [&](std::size_t i, int code, float by) { // written for the compiler to vectorise: no branch for NaN
        const auto bits = std::bit_cast<std::uint32_t>(by * static_cast<float>(code));
        to[i].bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    };
    for (std::size_t at = 0; at < w.width; at += quantised_piece, codes += quantised_rows<Bits>::bytes_of(quantised_piece), to += quantised_piece) {
        const float first = static_cast<float>(*scale++);
        if constexpr (Bits == 8) {
            for (std::size_t i = 0; i < group; ++i) put(i, static_cast<std::int8_t>(codes[i]), first);
        } else {
            const float second = static_cast<float>(*scale++);
            for (std::size_t i = 0; i < group; ++i) put(i, (codes[i] & 15) - 8, first);
            for (std::size_t i = 0; i < group; ++i) put(group + i, (codes[i] >> 4) - 8, second);
        }
    }
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
