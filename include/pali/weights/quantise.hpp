// Numbers to small integers with scales.
#pragma once

#include <pali/core/quantised.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/weights/convert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

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
        kernels::active().quantise_strip<Bits>(strip, width, codes + i * layout::bytes_of(numbers), scales + i * numbers / layout::group);
    });
    return {codes, scales, count, width};
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
