// Numbers to small integers with scales.
#pragma once

#include <pali/core/quantised.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/weights/convert.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali::inline PALI_ABI {

namespace detail {

/// The codes of one group for a scale; what is out of range, or no number, goes to an end.
template <std::size_t Bits>
void codes_for(const float* x, float scale, int* codes) noexcept {
    using matrix = quantised_rows<Bits>;
    const float inverse = scale == 0 ? 0.f : 1.f / scale;
    for (std::size_t i = 0; i < matrix::group; ++i)
        codes[i] = static_cast<int>(std::nearbyint(std::max(static_cast<float>(matrix::smallest), std::min(static_cast<float>(matrix::largest), x[i] * inverse))));
}

/// The scale of one group, and its codes. 8 bits: the largest number is 127. 4 bits: the number farthest from zero is -8, so that all 16 codes are used
/// (llama.cpp's Q4_0); then, for those codes, the scale of least squares, and codes for that.
template <std::size_t Bits>
bfloat16 quantise_group(const float* x, int* codes) noexcept {
    const float farthest = *std::max_element(x, x + quantised_rows<Bits>::group, [](float a, float b) { return std::abs(a) < std::abs(b); });
    if constexpr (Bits == 8) {
        const bfloat16 scale(std::abs(farthest) / 127.f);
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    } else {
        const float first = farthest / -8.f;
        codes_for<Bits>(x, first, codes);
        float along = 0, squares = 0; // of x / first, so that neither overflows
        for (std::size_t i = 0; i < quantised_rows<Bits>::group; ++i) {
            along += x[i] / first * static_cast<float>(codes[i]);
            squares += static_cast<float>(codes[i] * codes[i]);
        }
        const bfloat16 scale(squares == 0 ? 0.f : first * (along / squares));
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    }
}

} // namespace detail

/// Rounds a row of `width` numbers, a multiple of `quantised_piece`, to codes and scales in the layout of quantised_rows.
template <std::size_t Bits>
void quantise_row(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept {
    using matrix = quantised_rows<Bits>;
    PALI_ASSERT(width % quantised_piece == 0);
    int piece[quantised_piece];
    for (std::size_t at = 0; at < width; at += quantised_piece, codes += matrix::bytes_of(quantised_piece)) {
        for (std::size_t g = 0; g < quantised_piece; g += matrix::group) *scales++ = detail::quantise_group<Bits>(x + at + g, piece + g);
        for (std::size_t i = 0; i < matrix::bytes_of(quantised_piece); ++i)
            codes[i] = static_cast<std::uint8_t>(Bits == 8 ? piece[i] : (piece[i] + 8) | (piece[32 + i] + 8) << 4);
    }
}

/// Bytes of a matrix's codes and scales.
template <std::size_t Bits>
[[nodiscard]] std::size_t quantised_bytes(const tensor_info& tensor) noexcept {
    return quantised_rows<Bits>::bytes_of(tensor.count()) + tensor.count() / quantised_rows<Bits>::group * sizeof(bfloat16);
}

/// Rounds a matrix (rows, columns) into `memory` of quantised_bytes(), codes first, and returns a view of it. Columns are a multiple of `quantised_piece`.
template <std::size_t Bits>
quantised_rows<Bits> quantise(const tensor_info& tensor, std::byte* memory, thread_pool& threads) {
    using matrix = quantised_rows<Bits>;
    const std::size_t count = tensor.shape[0], width = tensor.shape[1];
    auto* const codes = reinterpret_cast<std::uint8_t*>(memory);
    auto* const scales = reinterpret_cast<bfloat16*>(memory + matrix::bytes_of(count * width));
    constexpr std::size_t rows_a_task = 16;
    std::vector<float> rows(threads.size() * width);
    threads.run((count + rows_a_task - 1) / rows_a_task, [&](std::size_t task, std::size_t thread) {
        float* const row = rows.data() + thread * width;
        for (std::size_t n = task * rows_a_task; n < std::min(count, (task + 1) * rows_a_task); ++n) {
            convert(tensor, n * width, width, row);
            quantise_row<Bits>(row, width, codes + matrix::bytes_of(n * width), scales + n * (width / matrix::group));
        }
    });
    return {codes, scales, count, width};
}

} // namespace pali::inline PALI_ABI
