// The 16-bit floating-point formats of checkpoints, bfloat16 and IEEE half: storage and conversions, no arithmetic.
#pragma once

#include <pali/core/macros.hpp>

#include <bit>
#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace core {

/// The upper half of a float32. Conversion from float rounds to nearest even, as in torch; NaN stays NaN.
struct bfloat16 {
    std::uint16_t bits = 0; ///< sign, 8 exponent bits, 7 mantissa bits

    bfloat16() = default;
    /// Rounds to nearest even. Overflow gives infinity; NaN gives a quiet NaN.
    explicit bfloat16(float value) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? static_cast<std::uint16_t>((u >> 16) | 0x40u) : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
    /// Exact.
    [[nodiscard]] explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
    /// Compares bits: a NaN equals itself, and 0 and -0 differ.
    friend bool operator==(bfloat16 a, bfloat16 b) noexcept { return a.bits == b.bits; }
};
static_assert(sizeof(bfloat16) == 2);

/// IEEE 754 binary16; used in checkpoints only.
struct float16 {
    std::uint16_t bits = 0; ///< sign, 5 exponent bits, 10 mantissa bits

    float16() = default;
    /// Rounds to nearest even. Overflow gives infinity; NaN gives a quiet NaN.
    explicit float16(float value) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t sign = u >> 16 & 0x8000u, size = u & 0x7fffffffu;
        if (size > 0x7f800000u) bits = static_cast<std::uint16_t>(sign | 0x7e00u | (size >> 13 & 0x3ffu));
        else if (size >= 0x477ff000u) bits = static_cast<std::uint16_t>(sign | 0x7c00u); // 65520 and above
        else if (size >= 0x38800000u)
            bits = static_cast<std::uint16_t>(sign | ((size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13)); // normal: from 2^-14
        else { // subnormal, a multiple of 2^-24. That is the ulp of float32 in [0.5, 1), so adding 0.5 rounds
            const float shifted = std::bit_cast<float>(size) + 0.5f;
            bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
        }
    }
    /// Exact.
    [[nodiscard]] explicit operator float() const noexcept {
        // Shifts exponent and mantissa into place and rescales by 2^112; exact for normal and subnormal numbers.
        const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
        const std::uint32_t rest = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
        if ((bits & 0x7c00u) == 0x7c00u) return std::bit_cast<float>(sign | rest | 0x7f800000u);
        const float scaled = std::bit_cast<float>(rest) * 0x1p112f;
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
    }
};
static_assert(sizeof(float16) == 2);

}}} // namespace pali::PALI_ABI::core
