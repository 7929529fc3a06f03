// Dot products of tokens with quantized weights in plain C++: the byte kernel that runs on every processor.
#pragma once

#include <pali/kernels/product/quantized_tokens.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Policy of loop_bytes() in scalar code, with integer sums within a group and float32 sums over groups.
struct dot_bytes_portable {
    static constexpr std::size_t strips = 1; ///< strips per call
    static constexpr std::size_t tokens = 4; ///< tokens per call, at most

    /// Computes y[r] (8) = the rows of strip `i` · token `first + r` of x, for R tokens. The index of a second strip is ignored.
    template <std::size_t R, std::size_t Bits>
    static void dot(const quantized_rows<Bits>& w, std::size_t i, std::size_t, const quantized_tokens& x, std::size_t first,
                    float (&y)[R][quantized_rows<Bits>::strip]) noexcept {
        for (std::size_t r = 0; r < R; ++r)
            one<Bits>(w.codes_of(i), w.scales_of(i), x.codes + first * x.width + 4 * r, x.scales + first * x.groups + r, R, x.groups, y[r]);
    }

private:
    /// One token of an interleaved tile of `together` tokens. Not inlined, because compilers could otherwise contract multiply and add for
    /// some R and not for others.
    template <std::size_t Bits>
    [[gnu::noinline]] static void one(const std::uint8_t* codes, const bfloat16* scales, const std::int8_t* token,
                                      const float* token_scales, std::size_t together, std::size_t groups, float* y) noexcept {
        using matrix = quantized_rows<Bits>;
        std::fill(y, y + matrix::strip, 0.f);
        for (std::size_t g = 0; g < groups;
             ++g, codes += matrix::group_bytes, scales += matrix::strip, token += matrix::group * together, token_scales += together) {
            std::int8_t activations[matrix::group];
            for (std::size_t k = 0; k < matrix::group; k += 4) std::memcpy(activations + k, token + k * together, 4);
            std::int32_t sums[matrix::strip] = {};
            for (std::size_t k = 0; k < matrix::group_bytes / matrix::strip; ++k)
                for (std::size_t n = 0; n < matrix::strip; ++n) {
                    const std::uint8_t byte = codes[matrix::byte_in_group(n, k)];
                    if constexpr (Bits == 8)
                        sums[n] += static_cast<std::int16_t>(static_cast<std::int8_t>(byte)) * static_cast<std::int16_t>(activations[k]);
                    else sums[n] += ((byte & 15) - 8) * activations[k] + ((byte >> 4) - 8) * activations[k + matrix::group / 2];
                }
            for (std::size_t n = 0; n < matrix::strip; ++n)
                y[n] += static_cast<float>(scales[n]) * *token_scales * static_cast<float>(sums[n]);
        }
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
