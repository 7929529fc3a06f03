// Rows of weights as floats: for embeddings, and for products of many rows.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/quantised.hpp>
#include <pali/core/rows.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// One row in float32: exact.
template <class Element>
void read_row(const rows<const Element>& w, std::size_t row, float* to) noexcept {
    for (std::size_t i = 0; i < w.width; ++i) to[i] = static_cast<float>(w[row][i]);
}

/// One row of code · scale in float32: exact.
template <std::size_t Bits>
void read_row(const quantised_rows<Bits>& w, std::size_t row, float* to) noexcept {
    for (std::size_t k = 0; k < w.width; ++k) to[k] = w.scale(row, k) * static_cast<float>(w.code(row, k));
}

/// The rows of strip `i`, (8, width), rounded to nearest even: by 2^-9 of a number, where the code itself is off by 2^-5 or 2^-9 of the largest in its group.
template <std::size_t Bits>
void read_strip(const quantised_rows<Bits>& w, std::size_t i, bfloat16* to) noexcept {
    using matrix = quantised_rows<Bits>;
    constexpr std::size_t in_bytes = matrix::group_bytes / matrix::strip; // numbers of a row in consecutive bytes: a group, or half of it
    const std::uint8_t* codes = w.codes_of(i);
    const bfloat16* scales = w.scales_of(i);
    std::int8_t numbers[matrix::group_bytes], row[matrix::strip][matrix::group];
    const auto sort = [&](std::size_t first) { // fours of all rows -> rows
        for (std::size_t r = 0; r < matrix::strip; ++r)
            for (std::size_t k = 0; k < in_bytes; k += 4) std::memcpy(row[r] + first + k, numbers + matrix::byte_in_group(r, k), 4);
    };
    for (std::size_t at = 0; at < w.width; at += matrix::group, codes += matrix::group_bytes, scales += matrix::strip) {
        if constexpr (Bits == 8) {
            std::memcpy(numbers, codes, sizeof numbers);
            sort(0);
        } else {
            for (std::size_t j = 0; j < sizeof numbers; ++j) numbers[j] = static_cast<std::int8_t>((codes[j] & 15) - 8);
            sort(0);
            for (std::size_t j = 0; j < sizeof numbers; ++j) numbers[j] = static_cast<std::int8_t>((codes[j] >> 4) - 8);
            sort(in_bytes);
        }
        for (std::size_t r = 0; r < matrix::strip; ++r) {
            const float scale = static_cast<float>(scales[r]);
            bfloat16* const out = to + r * w.width + at;
            for (std::size_t k = 0; k < matrix::group; ++k) { // written for the compiler to vectorise: no branch for NaN
                const auto bits = std::bit_cast<std::uint32_t>(scale * static_cast<float>(row[r][k]));
                out[k].bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
            }
        }
    }
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
