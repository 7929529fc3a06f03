// Numbers to small integers with scales.
#pragma once

#include <pali/core/quantised.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/weights/convert.hpp>
#include <pali/weights/finite.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
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

/// The scale of one group, and its codes; the scale is not a number where one of the group is not finite. 8 bits: the largest number is 127. 4 bits: the number farthest from zero is -8, so that all 16 codes are used
/// (llama.cpp's Q4_0); then, for those codes, the scale of least squares, and codes for that.
template <std::size_t Bits>
bfloat16 quantise_group(const float* x, int* codes) noexcept {
    if (!are_finite(x, quantised_rows<Bits>::group)) {
        std::fill(codes, codes + quantised_rows<Bits>::group, 0);
        return bfloat16(std::numeric_limits<float>::quiet_NaN());
    }
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

/// Rounds the rows of a strip, x (8, width), to codes and scales in the layout of quantised_rows: width · Bits bytes, and width / group · 8 scales.
template <std::size_t Bits>
void quantise_strip(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept {
    using layout = quantised_rows<Bits>;
    PALI_ASSERT(width % layout::group == 0);
    int of_group[layout::group];
    for (std::size_t at = 0; at < width; at += layout::group, codes += layout::group_bytes, scales += layout::strip) {
        std::fill(codes, codes + layout::group_bytes, std::uint8_t{0});
        for (std::size_t r = 0; r < layout::strip; ++r) {
            scales[r] = detail::quantise_group<Bits>(x + r * width + at, of_group);
            for (std::size_t k = 0; k < layout::group; ++k) {
                const int bits = Bits == 8 ? of_group[k] : (of_group[k] + 8) << (k < layout::group / 2 ? 0 : 4);
                codes[layout::byte_in_group(r, k)] |= static_cast<std::uint8_t>(bits);
            }
        }
    }
}

/// What matrices quantised_rows can hold, for messages.
template <std::size_t Bits>
[[nodiscard]] std::string what_is_quantised() {
    using layout = quantised_rows<Bits>;
    return "quantised weights are made of BF16, F16 or F32 with a multiple of " + std::to_string(layout::group) + " columns and of " + std::to_string(layout::strip) +
        " rows, which embedding and head may have any number of";
}

/// Bytes of a matrix's codes and scales, with the last strip filled up.
template <std::size_t Bits>
[[nodiscard]] std::size_t quantised_bytes(const tensor_info& tensor) noexcept {
    const std::size_t numbers = quantised_rows<Bits>::padded(tensor.shape[0]) * tensor.shape[1];
    return quantised_rows<Bits>::bytes_of(numbers) + numbers / quantised_rows<Bits>::group * sizeof(bfloat16);
}

/// Rounds a matrix (rows, columns) of whole groups into `memory` of quantised_bytes(), codes first, and returns a view of it. Rows of zeros fill the last strip up, and the view has them.
template <std::size_t Bits>
quantised_rows<Bits> quantise(const tensor_info& tensor, std::byte* memory, thread_pool& threads) {
    using layout = quantised_rows<Bits>;
    const std::size_t rows = tensor.shape[0], count = layout::padded(rows), width = tensor.shape[1];
    PALI_ASSERT(layout::fits(count, width));
    auto* const codes = reinterpret_cast<std::uint8_t*>(memory);
    auto* const scales = reinterpret_cast<bfloat16*>(memory + layout::bytes_of(count * width));
    std::vector<float> strips(threads.size() * layout::strip * width);
    threads.run(count / layout::strip, [&](std::size_t i, std::size_t thread) {
        const std::size_t numbers = layout::strip * width, known = std::min(layout::strip, rows - i * layout::strip) * width;
        float* const strip = strips.data() + thread * numbers;
        convert(tensor, i * numbers, known, strip);
        std::fill(strip + known, strip + numbers, 0.f);
        quantise_strip<Bits>(strip, width, codes + i * layout::bytes_of(numbers), scales + i * numbers / layout::group);
    });
    return {codes, scales, count, width};
}

} // namespace pali::inline PALI_ABI
