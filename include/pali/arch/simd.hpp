// Tag types for the instruction sets that the flags of the translation unit allow. Kernels take such a tag, so it is part of their symbol.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/compat_xsimd.hpp>

#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace arch { inline namespace PALI_SIMD {

/// Tag of the xsimd kernels for instruction set `A`, which the flags of the translation unit must allow.
template <class A = xsimd::default_arch>
struct simd {
    using batch = xsimd::batch<float, A>;             ///< a register of floats
    using bits = xsimd::batch<std::uint32_t, A>;      ///< the same register as 32-bit unsigned integers
    static constexpr std::size_t lanes = batch::size; ///< floats per register
    /// Vector registers: 32 with AVX-512 and 64-bit ARM, otherwise 16.
#if defined(__aarch64__)
    static constexpr std::size_t registers = 32;
#else
    static constexpr std::size_t registers = lanes == 16 ? 32 : 16;
#endif
    /// "simd:" followed by xsimd's name of the instruction set.
    [[nodiscard]] static std::string name() { return std::string("simd:") + A::name(); }
};

/// x · y + z of floats, rounded once if the instruction set has FMA. xsimd 8 leaves 512-bit FMA to the compiler, and clang emits two
/// instructions, which round twice and take twice the time.
template <class A>
[[nodiscard]] inline xsimd::batch<float, A> fma(const xsimd::batch<float, A>& x, const xsimd::batch<float, A>& y,
                                                const xsimd::batch<float, A>& z) noexcept {
#if defined(__AVX512F__)
    if constexpr (xsimd::batch<float, A>::size == 16) return _mm512_fmadd_ps(x, y, z);
    else
#endif
        return xsimd::fma(x, y, z);
}

/// The instruction set that the flags of this translation unit select.
inline constexpr simd<> native{};

}}}} // namespace pali::PALI_ABI::arch::PALI_SIMD
