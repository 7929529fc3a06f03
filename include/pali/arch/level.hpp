// Defines an inline namespace that is named after the level of the translation unit, that is, after the instructions that its compiler
// flags allow.
#pragma once

#include <pali/core/macros.hpp>

// Only bodies include this header. Sources that link compiled bodies do not.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1) || defined(__ASSOCIATIVE_MATH__)
#  error                                                                                                                                   \
      "pali cannot be compiled with -Ofast, -ffast-math, -ffinite-math-only or -fassociative-math: attention masks use infinities, and the order of summation is fixed. Use -O2 or -O3"
#endif

/// Inline namespace of code whose instructions depend on compiler flags. Its name is derived from the flags. Translation units compiled
/// with different flags therefore share no symbol, and the linker cannot replace the code of one unit by the code of another.
#if defined(PALI_LEVEL)
#  define PALI_SIMD PALI_LEVEL
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__)
#  define PALI_SIMD avx512_vnni
#elif defined(__AVX512BW__)
#  define PALI_SIMD avx512
#elif defined(__AVX512F__)
#  define PALI_SIMD avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#  define PALI_SIMD avx2
#elif defined(__AVX__)
#  define PALI_SIMD avx
#elif defined(__SSE4_2__)
#  define PALI_SIMD sse4
#elif defined(__x86_64__)
#  define PALI_SIMD sse2
#elif defined(__aarch64__)
#  define PALI_SIMD neon
#else
#  define PALI_SIMD generic
#endif

/// @{ Whether this translation unit compiles kernels whose intrinsics need more extensions than its flags allow. Header-only programs do,
/// because they select such kernels at run time whatever the flags. An object for one level (PALI_LEVEL) omits the kernels of higher
/// levels, which would never be selected with that level.
#if defined(__x86_64__) && (!defined(PALI_LEVEL) || defined(__AVX2__))
#  define PALI_AVX2_KERNELS 1
#else
#  define PALI_AVX2_KERNELS 0
#endif
#if defined(__x86_64__) && (!defined(PALI_LEVEL) || defined(__AVX512F__))
#  define PALI_AVX512_KERNELS 1
#else
#  define PALI_AVX512_KERNELS 0
#endif
/// @}
