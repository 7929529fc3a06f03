// Eight rows of eight numbers turned over in registers.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali::inline PALI_ABI::kernels {

typedef float eight_floats __attribute__((vector_size(32)));                                     ///< a register of AVX2
typedef float eight_floats_in_memory __attribute__((vector_size(32), aligned(4), may_alias)); ///< the same where it lies, at any address that floats have

/// a[i][j] becomes a[j][i]; bits stay as they are. Compilers keep the arrays in registers, where loops are unrolled.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline void transpose(eight_floats (&a)[8]) noexcept {
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

} // namespace pali::inline PALI_ABI::kernels
