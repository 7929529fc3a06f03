// The instruction sets that follow the flags of the translation unit, as tags; kernels carry one in their symbol.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/compat_xsimd.hpp>

#include <cstddef>
#include <string>

/// Which instruction sets there are: those that flags of the compiler allow, and those that the processor has.
namespace pali { inline namespace PALI_ABI { namespace arch { inline namespace PALI_SIMD {

/// xsimd kernels for the instruction set `A`, at most what the flags of the translation unit allow.
template <class A = xsimd::default_arch>
struct simd {
    using batch = xsimd::batch<float, A>;             ///< a register of floats
    using bits = xsimd::batch<std::uint32_t, A>;      ///< the same register as unsigned numbers of 32 bits
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

/// x · y + z of floats, rounded once where the instruction set has that. xsimd 8 leaves it to the compiler for 512 bits: clang rounds twice
/// then, at half the speed.
template <class A>
[[nodiscard]] inline xsimd::batch<float, A> fma(const xsimd::batch<float, A>& x, const xsimd::batch<float, A>& y,
                                                const xsimd::batch<float, A>& z) noexcept {
#if defined(__AVX512F__)
    if constexpr (xsimd::batch<float, A>::size == 16) return _mm512_fmadd_ps(x, y, z);
    else
#endif
        return xsimd::fma(x, y, z);
}

/// What the flags of this translation unit give.
inline constexpr simd<> native{};

}}}} // namespace pali::PALI_ABI::arch::PALI_SIMD
