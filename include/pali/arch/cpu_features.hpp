// What the processor can do, found when the program runs: the levels that kernels are compiled for, and the extensions that single kernels
// use beyond a level.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// The instructions that a whole object is compiled for. Those of x86-64 are the levels of its psABI, each of which contains the ones
/// before it.
enum class level : int {
    baseline = 0,  ///< what every processor of the architecture has: x86-64 (SSE2), or 64-bit ARM with NEON
    x86_64_v3 = 1, ///< AVX, AVX2, BMI1, BMI2, F16C, FMA, LZCNT, MOVBE
    x86_64_v4 = 2, ///< also AVX-512 F, BW, CD, DQ and VL
};

/// The name of a level: "x86-64", "x86-64-v3", "x86-64-v4", "neon", or "generic" for other architectures.
[[nodiscard]] std::string_view name_of(level which) noexcept;

/// Extensions that single kernels have intrinsics for.
struct features {
    bool avx2 = false;        ///< AVX2 and FMA
    bool avx_vnni = false;    ///< products of bytes on 256-bit registers, in the encoding of AVX
    bool avx512_vnni = false; ///< the same on 512-bit registers, in that of AVX-512
    bool avx512_bf16 = false; ///< products of bfloat16 on them, where they outrun multiply-adds of float32
    bool amx_bf16 = false;    ///< tiles of bfloat16, permitted by the operating system, and AVX-512 F and BW with them

    friend bool operator==(const features&, const features&) = default;
};

/// The processor and its operating system, as asked. Tests put other answers in.
struct processor {
    /// Registers A to D of CPUID.
    struct registers {
        unsigned a = 0, b = 0, c = 0, d = 0; ///< EAX, EBX, ECX, EDX
    };
    registers (*cpuid)(unsigned leaf, unsigned subleaf) = nullptr; ///< zeros for a leaf that is not there
    std::uint64_t (*xcr0)() = nullptr; ///< which registers the operating system saves; called only where CPUID reports OSXSAVE
    bool (*may_use_tiles)() = nullptr; ///< whether the operating system permits them
};

/// The one that the program runs on.
[[nodiscard]] processor this_processor() noexcept;
/// The highest level of which `which` has every extension and the system saves every register.
[[nodiscard]] level highest_level(const processor& which) noexcept;
/// Extensions that `which` has.
[[nodiscard]] features features_of(const processor& which) noexcept;

/// Of this processor.
[[nodiscard]] const features& detected() noexcept;

/// The extensions that the name of a level or of an extension allows: "simd" and "x86-64" (what the source was compiled for and no more),
/// "avx2" and no more, "x86-64-v3" (AVX2, AVX-VNNI), "vnni", "bf16", "amx" and "x86-64-v4" (all up to it; the last all there are), "neon".
/// Throws errc::unsupported_arch for another name and for what `there` lacks.
[[nodiscard]] features limited_to(std::string_view name, const features& there);

/// What kernels use: all that was detected, or what the environment variable PALI_ARCH allows, which is read once. Of bodies that are
/// compiled once per level, the extensions that go with the level that was selected. Throws errc::unsupported_arch.
[[nodiscard]] const features& in_use();

}}} // namespace pali::PALI_ABI::arch

#ifndef PALI_COMPILED
#  include <pali/arch/cpu_features.ipp>
#endif
