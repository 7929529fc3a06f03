// Processor features, detected at run time: the levels for which kernels are compiled, and the extensions beyond a level that individual
// kernels use.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// Instruction set level for which all code of an object file is compiled. On x86-64, the levels are those of the psABI. Each level
/// contains the levels before it.
enum class level : int {
    baseline = 0,  ///< baseline of the architecture: x86-64 (SSE2), or 64-bit ARM with NEON
    x86_64_v3 = 1, ///< AVX, AVX2, BMI1, BMI2, F16C, FMA, LZCNT, MOVBE
    x86_64_v4 = 2, ///< also AVX-512 F, BW, CD, DQ and VL
};

/// The name of a level: "x86-64", "x86-64-v3", "x86-64-v4", "neon", or "generic" for other architectures.
[[nodiscard]] std::string_view name_of(level which) noexcept;

/// Extensions for which individual kernels have intrinsics.
struct features {
    bool avx2 = false;        ///< AVX2 and FMA
    bool avx_vnni = false;    ///< byte products on 256-bit registers, VEX-encoded
    bool avx512_vnni = false; ///< byte products on 512-bit registers, EVEX-encoded
    bool avx512_bf16 = false; ///< bfloat16 products on 512-bit registers; set only if they are faster than float32 FMA
    bool amx_bf16 = false;    ///< bfloat16 products on tiles, permitted by the operating system, with AVX-512 F and BW

    friend bool operator==(const features&, const features&) = default;
};

/// Functions that report the features of a processor and its operating system. Tests substitute other functions.
struct processor {
    /// Registers A to D of CPUID.
    struct registers {
        unsigned a = 0; ///< EAX
        unsigned b = 0; ///< EBX
        unsigned c = 0; ///< ECX
        unsigned d = 0; ///< EDX
    };
    registers (*cpuid)(unsigned leaf, unsigned subleaf) = nullptr; ///< all zeros for a leaf that does not exist
    /// XCR0: which registers the operating system saves. Called only if CPUID reports OSXSAVE.
    std::uint64_t (*xcr0)() = nullptr;
    bool (*may_use_tiles)() = nullptr; ///< whether the operating system permits tiles
};

/// The processor that the program runs on.
[[nodiscard]] processor this_processor() noexcept;
/// The highest level whose extensions `which` has and whose registers the system saves.
[[nodiscard]] level highest_level(const processor& which) noexcept;
/// The extensions that `which` has.
[[nodiscard]] features features_of(const processor& which) noexcept;

/// The extensions of this processor.
[[nodiscard]] const features& detected() noexcept;

/// Returns the extensions that the name of a level or an extension allows:
/// - "simd", "x86-64", "neon": none beyond those for which the source was compiled
/// - "avx2": AVX2 only
/// - "x86-64-v3": AVX2 and AVX-VNNI
/// - "vnni", "bf16", "amx": all extensions up to the named one
/// - "x86-64-v4": all of `there`
///
/// Throws errc::unsupported_arch for any other name, and for an extension that `there` lacks.
[[nodiscard]] features limited_to(std::string_view name, const features& there);

/// The extensions that kernels may use: all that were detected, or those that the environment variable PALI_ARCH allows. The variable is
/// read once. If bodies are compiled once per level, these are the extensions of selected(). Throws errc::unsupported_arch.
[[nodiscard]] const features& in_use();

}}} // namespace pali::PALI_ABI::arch

#ifndef PALI_COMPILED
#  include <pali/arch/cpu_features.ipp>
#endif
