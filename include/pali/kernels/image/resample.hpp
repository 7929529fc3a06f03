// Resamples rows and columns with fixed-point weights. The sums are integers, so the result does not depend on their order.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/kernels/image/resample_weights.hpp>

#include <cstddef>
#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Resamples one row of RGB bytes along the horizontal axis; weights are (count, stride) in the layout of rgb_weights. in (source width *
/// 3 bytes, then resample_padding bytes) -> out (count * 3). Never throws, never allocates.
inline void resample_row(const std::uint8_t* in, const resample_span* spans, std::size_t count, const std::int32_t* weights,
                         std::size_t stride, std::uint8_t* out) noexcept {
    constexpr std::size_t block = rgb_weights::block;
    for (std::size_t at = 0; at < count; ++at) {
        const std::uint8_t* from = in + spans[at].first * 3;
        const std::int32_t* of_span = weights + at * stride;
        const std::size_t blocks = (spans[at].count * 3 + block - 1) / block;
        std::int32_t sums[block] = {};
        for (std::size_t b = 0; b < blocks; ++b, from += block, of_span += block)
            for (std::size_t i = 0; i < block; ++i) sums[i] += of_span[i] * static_cast<std::int32_t>(from[i]);
        for (std::size_t c = 0; c < 3; ++c) {
            std::int32_t sum = 1 << (resample_weights::precision - 1);
            for (std::size_t i = c; i < block; i += 3) sum += sums[i];
            out[at * 3 + c] = clip_to_byte(sum);
        }
    }
}

/// Computes one output row: the weighted sum of `count` rows of `width` bytes that are `stride` bytes apart. Never throws, never
/// allocates.
inline void resample_columns(const std::uint8_t* rows, std::size_t stride, const std::int32_t* weights, std::size_t count,
                             std::uint8_t* out, std::size_t width) noexcept {
    constexpr std::size_t block = 32;
    constexpr std::int32_t half = 1 << (resample_weights::precision - 1);
    std::size_t x = 0;
    for (; x + block <= width; x += block) {
        std::int32_t sums[block];
        for (std::size_t i = 0; i < block; ++i) sums[i] = half;
        for (std::size_t row = 0; row < count; ++row) {
            const std::uint8_t* from = rows + row * stride + x;
            const std::int32_t weight = weights[row];
            for (std::size_t i = 0; i < block; ++i) sums[i] += weight * static_cast<std::int32_t>(from[i]);
        }
        for (std::size_t i = 0; i < block; ++i) out[x + i] = clip_to_byte(sums[i]);
    }
    for (; x < width; ++x) {
        std::int32_t sum = half;
        for (std::size_t row = 0; row < count; ++row) sum += weights[row] * static_cast<std::int32_t>(rows[row * stride + x]);
        out[x] = clip_to_byte(sum);
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
