// Bodies of cpu_features.hpp.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/core/error.hpp>
#include <pali/core/system.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>

#if defined(__x86_64__)
#  include <cpuid.h>
#endif
#ifdef PALI_COMPILED
#  include <pali/arch/dispatch.hpp>
#endif

namespace pali { inline namespace PALI_ABI { namespace arch {

PALI_INLINE std::string_view name_of(level which) noexcept {
    switch (which) {
    case level::x86_64_v3:
        return "x86-64-v3";
    case level::x86_64_v4:
        return "x86-64-v4";
    case level::baseline:
        break;
    }
#if defined(__x86_64__)
    return "x86-64";
#elif defined(__aarch64__)
    return "neon";
#else
    return "generic";
#endif
}

PALI_INLINE processor this_processor() noexcept {
#if defined(__x86_64__)
    return {.cpuid =
                [](unsigned leaf, unsigned subleaf) {
                    processor::registers r;
                    if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return processor::registers{};
                    return r;
                },
            .xcr0 =
                [] {
                    std::uint32_t low, high;
                    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
                    return (static_cast<std::uint64_t>(high) << 32) | low;
                },
            .may_use_tiles = [] { return pali::core::may_use_tiles(); }};
#else
    return {};
#endif
}

namespace cpuid_detail {

/// Bit numbers as in Intel's Software Developer's Manual: CPUID in volume 2A, XCR0 in volume 1, section 13.1.
struct answers {
    processor::registers basic, extended, more, amd;
    std::uint64_t saved = 0;

    explicit answers(const processor& from) noexcept {
        if (!from.cpuid) return;
        basic = from.cpuid(1, 0), extended = from.cpuid(7, 0), more = from.cpuid(7, 1), amd = from.cpuid(0x80000001, 0);
        if (bit(basic.c, 27)) saved = from.xcr0(); // OSXSAVE
    }
    [[nodiscard]] static bool bit(std::uint64_t word, int n) noexcept { return (word >> n & 1) != 0; }
    template <class... Bits>
    [[nodiscard]] static bool all(std::uint64_t word, Bits... bits) noexcept {
        return (bit(word, bits) && ...);
    }
    [[nodiscard]] bool saves_ymm() const noexcept { return (saved & 0x6) == 0x6; }
    [[nodiscard]] bool saves_zmm() const noexcept { return (saved & 0xe6) == 0xe6; }
    [[nodiscard]] bool saves_tiles() const noexcept { return (saved & 0x60000) == 0x60000; }
};

/// CPUID leaf 0: the vendor string is in EBX, EDX and ECX.
PALI_INLINE bool made_by_amd(const processor& which) noexcept {
    const processor::registers name = which.cpuid(0, 0);
    return name.b == 0x68747541 && name.d == 0x69746e65 && name.c == 0x444d4163; // "Auth" "enti" "cAMD"
}

} // namespace cpuid_detail

PALI_INLINE level highest_level(const processor& which) noexcept {
    const cpuid_detail::answers said(which);
    // x86-64-v2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF. x86-64-v3: FMA, MOVBE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT.
    const bool v3 = said.saves_ymm() && said.all(said.basic.c, 0, 9, 13, 19, 20, 23) && said.all(said.basic.c, 12, 22, 28, 29) &&
                    said.all(said.extended.b, 3, 5, 8) && said.all(said.amd.c, 0, 5);
    // AVX-512 F, DQ, CD, BW, VL.
    const bool v4 = v3 && said.saves_zmm() && said.all(said.extended.b, 16, 17, 28, 30, 31);
    return v4 ? level::x86_64_v4 : v3 ? level::x86_64_v3 : level::baseline;
}

PALI_INLINE features features_of(const processor& which) noexcept {
    const cpuid_detail::answers said(which);
    features found;
    found.avx2 = said.saves_ymm() && said.bit(said.extended.b, 5) && said.bit(said.basic.c, 12);
    found.avx_vnni = found.avx2 && said.bit(said.more.a, 4);
    found.avx512_vnni = said.saves_zmm() && found.avx2 && said.all(said.extended.b, 16, 31) && said.bit(said.extended.c, 11);
    const bool avx512 = said.saves_zmm() && found.avx2 && said.all(said.extended.b, 16, 30);
    // On Zen 4, bfloat16 products have twice the rate of float32 FMA. On Intel (Sapphire Rapids) they have half that rate, so they are not
    // used there.
    found.avx512_bf16 = avx512 && said.bit(said.more.a, 5) && cpuid_detail::made_by_amd(which);
    found.amx_bf16 = said.saves_tiles() && avx512 && said.all(said.extended.d, 22, 24) && which.may_use_tiles();
    return found;
}

PALI_INLINE const features& detected() noexcept {
    static const features found = features_of(this_processor());
    return found;
}

PALI_INLINE features limited_to(std::string_view name, const features& there) {
    const auto lacks = [&](bool is_there) {
        if (!is_there) throw error(errc::unsupported_arch, {"PALI_ARCH is \"", name, "\", which this processor does not have"});
    };
    const features of_v3{.avx2 = there.avx2, .avx_vnni = there.avx_vnni};
    features all_but_bf16 = there;
    all_but_bf16.avx512_bf16 = all_but_bf16.amx_bf16 = false;
    if (name == "simd" || name == "x86-64" || name == "neon") return {};
    if (name == "avx2") return lacks(there.avx2), features{.avx2 = true};
    if (name == "x86-64-v3") return lacks(there.avx2), of_v3;
    if (name == "vnni") return lacks(there.avx_vnni || there.avx512_vnni), all_but_bf16;
    if (name == "bf16") {
        lacks(there.avx512_bf16);
        all_but_bf16.avx512_bf16 = true;
        return all_but_bf16;
    }
    if (name == "x86-64-v4") return there;
    if (name == "amx") return lacks(there.amx_bf16), there;
    throw error(errc::unsupported_arch,
                {"PALI_ARCH is \"", name, "\"; the valid names are x86-64, x86-64-v3, x86-64-v4, neon, simd, avx2, vnni, bf16 and amx"});
}

#if !defined(PALI_COMPILED)
PALI_INLINE const features& in_use() {
    static const features chosen = [] {
        const char* const name = std::getenv("PALI_ARCH");
        return name && *name ? limited_to(name, detected()) : detected();
    }();
    return chosen;
}
#else
const features& in_use() { return selected().extensions; }
#endif

}}} // namespace pali::PALI_ABI::arch
