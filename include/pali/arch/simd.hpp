// The instruction sets that follow the flags of the translation unit, as tags; kernels carry one in their symbol.
#pragma once

#include <pali/core/compat_xsimd.hpp>

#include <cstddef>
#include <string>

// Bodies only: sources that use bodies compiled elsewhere do not include this header.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1) || defined(__ASSOCIATIVE_MATH__)
#  error "pali cannot be compiled with -Ofast, -ffast-math, -ffinite-math-only or -fassociative-math: masks are infinities and the order of sums is fixed. Use -O2 or -O3"
#endif

/// Code whose instructions depend on compiler flags lives in an inline namespace that names them: translation units compiled with
/// different flags then never share a symbol, and the linker cannot hand one of them the other's instructions.
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
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

/// Which instruction sets there are: those that flags of the compiler allow, and those that the processor has.
namespace pali::inline PALI_ABI::arch {

/// xsimd kernels for the instruction set `A`, at most what the flags of the translation unit allow.
template <class A = xsimd::default_arch>
struct simd {
    using batch = xsimd::batch<float, A>;         ///< a register of floats
    using bits = xsimd::batch<std::uint32_t, A>;  ///< the same register as unsigned numbers of 32 bits
    static constexpr std::size_t lanes = batch::size; ///< floats of a register
    /// Vector registers to hold accumulators in: 32 with AVX-512 and 64-bit ARM, else 16.
#if defined(__aarch64__)
    static constexpr std::size_t registers = 32;
#else
    static constexpr std::size_t registers = lanes == 16 ? 32 : 16;
#endif
    /// "simd:" and xsimd's name of the instruction set.
    [[nodiscard]] static std::string name() { return std::string("simd:") + A::name(); }
};

/// x · y + z of floats, rounded once where the instruction set has that. xsimd 8 leaves it to the compiler for 512 bits: clang rounds twice then, at half the speed.
template <class A>
[[nodiscard]] inline xsimd::batch<float, A> fma(const xsimd::batch<float, A>& x, const xsimd::batch<float, A>& y, const xsimd::batch<float, A>& z) noexcept {
#if defined(__AVX512F__)
    if constexpr (xsimd::batch<float, A>::size == 16) return _mm512_fmadd_ps(x, y, z);
    else
#endif
        return xsimd::fma(x, y, z);
}

/// What the flags of this translation unit give.
inline constexpr simd<> native{};

} // namespace pali::inline PALI_ABI::arch
