// Quantizes a stored matrix to 8 or 4 bits.
#pragma once

#include <pali/core/quantized_rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/weights/convert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights { inline namespace PALI_SIMD {

/// Describes the sizes that quantized_rows supports, for messages.
template <std::size_t Bits>
[[nodiscard]] std::string what_is_quantized() {
    using layout = quantized_rows<Bits>;
    return "quantization needs BF16, F16 or F32, columns in a multiple of " + std::to_string(layout::group) +
           " and, except for embedding and head, rows in a multiple of " + std::to_string(layout::strip);
}

/// Size of the codes and scales of a matrix in bytes, with the last strip padded.
template <std::size_t Bits>
[[nodiscard]] std::size_t quantized_bytes(const tensor_info& tensor) noexcept {
    const std::size_t elements = quantized_rows<Bits>::padded(tensor.shape[0]) * tensor.shape[1];
    return quantized_rows<Bits>::bytes_of(elements) + elements / quantized_rows<Bits>::group * sizeof(bfloat16);
}

/// Quantizes a matrix (rows, columns), whose rows are whole groups, and returns a view. Writes quantized_bytes() bytes to `memory`: codes,
/// then scales. The last strip is padded with zero rows, which the view includes.
template <std::size_t Bits>
quantized_rows<Bits> quantize(const tensor_info& tensor, std::byte* memory, thread_pool& threads) {
    using layout = quantized_rows<Bits>;
    const std::size_t rows = tensor.shape[0], count = layout::padded(rows), width = tensor.shape[1];
    PALI_ASSERT(layout::fits(count, width));
    auto* const codes = reinterpret_cast<std::uint8_t*>(memory);
    auto* const scales = reinterpret_cast<bfloat16*>(memory + layout::bytes_of(count * width));
    std::vector<float> strips(threads.size() * layout::strip * width);
    threads.run(count / layout::strip, [&](std::size_t i, std::size_t thread) {
        const std::size_t elements = layout::strip * width, known = std::min(layout::strip, rows - i * layout::strip) * width;
        float* const strip = strips.data() + thread * elements;
        convert(tensor, i * elements, known, strip);
        std::fill(strip + known, strip + elements, 0.f);
        kernels::active().quantize_strip<Bits>(strip, width, codes + i * layout::bytes_of(elements), scales + i * elements / layout::group);
    });
    return {codes, scales, count, width};
}

}}}} // namespace pali::PALI_ABI::weights::PALI_SIMD
