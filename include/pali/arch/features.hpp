// What the processor can do beyond the flags that a translation unit is compiled with, found when the program runs.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/system.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#  include <cpuid.h>
#endif

namespace pali::inline PALI_ABI::arch {

/// Instruction sets that kernels have intrinsics for. Each is an extra over the xsimd kernels, which follow compiler flags.
struct features {
    bool avx2 = false;        ///< AVX2 and FMA
    bool avx_vnni = false;    ///< products of bytes on 256-bit registers, in the encoding of AVX
    bool avx512_vnni = false; ///< the same on 512-bit registers, in that of AVX-512
    bool avx512_bf16 = false; ///< products of bfloat16 on them, where they outrun multiply-adds of float32
    bool amx_bf16 = false;    ///< tiles of bfloat16, permitted by the operating system, and AVX-512 F and BW beside them

    friend bool operator==(const features&, const features&) = default;
};

namespace detail {

#if defined(__x86_64__)
struct cpuid_registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

inline cpuid_registers cpuid(unsigned leaf, unsigned subleaf) noexcept {
    cpuid_registers r;
    if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
    return r;
}

/// Which registers the operating system saves: XCR0.
inline std::uint64_t saved_registers() noexcept {
    std::uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
}

/// CPUID, leaf 0: the name of the maker, in B, D and C.
inline bool made_by_amd() noexcept {
    const cpuid_registers name = cpuid(0, 0);
    return name.b == 0x68747541 && name.d == 0x69746e65 && name.c == 0x444d4163; // "Auth" "enti" "cAMD"
}
#endif

/// Bits as in Intel's Software Developer's Manual, volume 2A, CPUID, and volume 1, section 13.1 (XCR0).
inline features detect() noexcept {
    features found;
#if defined(__x86_64__)
    const auto bit = [](std::uint64_t word, int n) { return (word >> n & 1) != 0; };
    const cpuid_registers basic = cpuid(1, 0), extended = cpuid(7, 0);
    if (!bit(basic.c, 27)) return found; // OSXSAVE
    const std::uint64_t saved = saved_registers();
    const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
    found.avx2 = ymm && bit(extended.b, 5) && bit(basic.c, 12);
    found.avx_vnni = found.avx2 && bit(cpuid(7, 1).a, 4);
    found.avx512_vnni = zmm && found.avx2 && bit(extended.b, 16) && bit(extended.b, 31) && bit(extended.c, 11);
    const bool avx512 = zmm && found.avx2 && bit(extended.b, 16) && bit(extended.b, 30);
    // Zen 4 has twice the rate of float32. Intel's has half of it (Sapphire Rapids), and so no use.
    found.avx512_bf16 = avx512 && bit(cpuid(7, 1).a, 5) && made_by_amd();
    found.amx_bf16 = tiles && avx512 && bit(extended.d, 24) && bit(extended.d, 22) && may_use_tiles();
#endif
    return found;
}

} // namespace detail

/// What this processor and its operating system allow.
[[nodiscard]] inline const features& detected() noexcept {
    static const features found = detail::detect();
    return found;
}

/// A level is all instruction sets up to one: "simd" (what xsimd was compiled for and no more), "avx2", "vnni", "bf16", "amx". Throws errc::unsupported_arch for
/// another name and for what `there` lacks.
[[nodiscard]] inline features limited_to(std::string_view level, const features& there) {
    static constexpr std::array<std::string_view, 5> levels{"simd", "avx2", "vnni", "bf16", "amx"};
    std::size_t n = 0;
    while (n < levels.size() && levels[n] != level) ++n;
    if (n == levels.size()) throw error(errc::unsupported_arch, {"PALI_ARCH is \"", level, "\"; it can be simd, avx2, vnni, bf16 or amx"});
    const features wanted{.avx2 = n >= 1, .avx_vnni = n >= 2 && there.avx_vnni, .avx512_vnni = n >= 2 && there.avx512_vnni,
                          .avx512_bf16 = n == 3 || (n > 3 && there.avx512_bf16), .amx_bf16 = n >= 4};
    if ((wanted.avx2 && !there.avx2) || (n == 2 && !there.avx_vnni && !there.avx512_vnni) || (wanted.avx512_bf16 && !there.avx512_bf16) ||
        (wanted.amx_bf16 && !there.amx_bf16))
        throw error(errc::unsupported_arch, {"PALI_ARCH is \"", level, "\", which this processor does not have"});
    return wanted;
}

/// What kernels use: all that was detected, or the level that the environment variable PALI_ARCH names, which is read once.
/// Throws what limited_to() throws.
[[nodiscard]] inline const features& in_use() {
    static const features chosen = [] {
        const char* const level = std::getenv("PALI_ARCH");
        return level && *level ? limited_to(level, detected()) : detected();
    }();
    return chosen;
}

} // namespace pali::inline PALI_ABI::arch
