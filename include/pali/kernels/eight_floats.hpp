// Vectors of eight floats: transpose, and rounding to bfloat16.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/bfloat16.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

typedef float eight_floats __attribute__((vector_size(32)));                                  ///< an AVX2 register
typedef float eight_floats_in_memory __attribute__((vector_size(32), aligned(4), may_alias)); ///< eight floats in memory, aligned like one
typedef std::uint32_t eight_words __attribute__((vector_size(32)));                           ///< the bits of eight_floats

/// Transposes in place: a[i][j] becomes a[j][i]. Bits are unchanged. The arrays stay in registers if the compiler unrolls the loops.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE inline void transpose(eight_floats (&a)[8]) noexcept {
    eight_floats b[8];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 8; i += 2) { // b[i]: columns 0, 1 and 4, 5 of two rows; b[i + 1]: columns 2, 3 and 6, 7
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 8; i += 4) { // a[i + c]: columns c and c + 4 of four rows
        a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < 4; ++c) {
        b[c] = __builtin_shufflevector(a[c], a[c + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        b[c + 4] = __builtin_shufflevector(a[c], a[c + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) a[i] = b[i];
}

/// Returns words whose upper 16 bits are x as bfloat16, rounded to nearest even. x must not be NaN.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE inline eight_words rounded_up_half(eight_floats x) noexcept {
    const auto bits = reinterpret_cast<eight_words>(x);
    return bits + 0x7fffu + ((bits >> 16) & 1u);
}

/// Rounds sixteen elements to bfloat16, with the same bits as the constructor of bfloat16. A loop over that constructor would be slow,
/// because compilers do not vectorize it. May be in place.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE inline void round_sixteen(const float* from, bfloat16* to) noexcept {
    typedef std::uint16_t halves __attribute__((vector_size(32)));
    eight_words words[2];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) {
        const eight_floats x = *reinterpret_cast<const eight_floats_in_memory*>(from + 8 * i);
        const auto is_nan = reinterpret_cast<eight_words>(x != x);
        words[i] = (rounded_up_half(x) & ~is_nan) | ((reinterpret_cast<eight_words>(x) | 0x400000u) & is_nan);
    }
    const halves both = __builtin_shufflevector(reinterpret_cast<halves>(words[0]), reinterpret_cast<halves>(words[1]), 1, 3, 5, 7, 9, 11,
                                                13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    std::memcpy(static_cast<void*>(to), &both, sizeof both);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
