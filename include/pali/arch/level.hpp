// The level of a translation unit: which instructions its flags allow, as the name of a namespace.
#pragma once

#include <pali/core/macros.hpp>

// Bodies only: sources that use bodies compiled elsewhere do not include this header.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1) || defined(__ASSOCIATIVE_MATH__)
#  error                                                                                                                                   \
      "pali cannot be compiled with -Ofast, -ffast-math, -ffinite-math-only or -fassociative-math: masks are infinities and the order of sums is fixed. Use -O2 or -O3"
#endif

/// Code whose instructions depend on compiler flags lives in an inline namespace that names them: translation units compiled with
/// different flags then never share a symbol, and the linker cannot hand one of them the other's instructions.
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

/// @{
/// Whether this translation unit compiles the kernels whose intrinsics need more than its flags allow. Headers alone do, since such kernels
/// are selected at run time whatever the flags are. An object for one level (PALI_LEVEL) leaves out those of the levels above it: there
/// they would never be selected.
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
