// The bodies of pali, compiled once; written by tools/single_header.py. Apache License 2.0: LICENSE beside the sources.
//
// Compile it with the program, every source of which defines PALI_COMPILED. Its kernels follow its flags. Compiled again with
// -DPALI_LEVEL=x86_64_v3 -march=x86-64-v3, or x86_64_v4, it is the kernels of that level, and the program selects the highest level that
// the processor has. Link such objects themselves, not an archive of them, from which the linker takes only what is named.
#ifndef PALI_COMPILED
#  error "pali.cpp is for programs that define PALI_COMPILED for every source; without it, pali.hpp has the bodies"
#endif
#if defined(PALI_LEVEL) && (defined(__GNUC__) || defined(__clang__)) && !defined(__OPTIMIZE__)
#  error "a level is compiled with -O2 or -O3: without inlining its object has functions that other objects would use"
#endif
#define PALI_COMPILES_BODIES
#include "pali.hpp"

// The kernels of one level, as an object that registers itself in the program's list. Compiled once per level, with PALI_LEVEL and the
// flags of that level.

namespace pali { inline namespace PALI_ABI { namespace arch { inline namespace PALI_SIMD {

/// The level of this object, as its flags define it.
inline constexpr level own =
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    level::x86_64_v4;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__BMI__) && defined(__BMI2__) && defined(__F16C__) && defined(__LZCNT__) &&         \
    defined(__MOVBE__)
    level::x86_64_v3;
#else
    level::baseline;
#endif

constinit compiled_level this_level{.which = own,
#ifdef PALI_LEVEL
                                    .is_whole = false,
#else
                                    .is_whole = true,
#endif
                                    .kernels = &kernels::own_level};

/// Runs before dynamic initialization, in which a global object may already open a model.
[[gnu::constructor(101)]] static void enter() noexcept { add(this_level); }

}}}} // namespace pali::PALI_ABI::arch::PALI_SIMD

#ifndef PALI_LEVEL
// Bodies of dispatch.hpp. Compiled once; header-only programs have no list.

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace arch {

namespace dispatch_detail {

/// Head of the list. Constant-initialized, so it is valid before the first level registers itself.
PALI_INLINE const compiled_level*& first() noexcept {
    static constinit const compiled_level* head = nullptr;
    return head;
}

} // namespace dispatch_detail

PALI_INLINE void add(compiled_level& one) noexcept {
    one.next = dispatch_detail::first();
    dispatch_detail::first() = &one;
}

PALI_INLINE std::vector<const compiled_level*> compiled_levels() {
    std::vector<const compiled_level*> found;
    for (const compiled_level* one = dispatch_detail::first(); one; one = one->next) found.push_back(one);
    std::sort(found.begin(), found.end(), [](const compiled_level* a, const compiled_level* b) { return a->which < b->which; });
    return found;
}

PALI_INLINE selection select(std::string_view name, const std::vector<const compiled_level*>& compiled, level highest,
                             const features& there) {
    const features allowed = name.empty() ? there : limited_to(name, there);
    const auto lacks = [&](std::string_view why) -> selection {
        throw error(errc::unsupported_arch, {"PALI_ARCH is \"", name, "\", ", why});
    };
    std::optional<level> wanted; // exactly this level
    for (const level one : {level::baseline, level::x86_64_v3, level::x86_64_v4})
        if (name == name_of(one)) wanted = one;
    if (name == "simd") wanted = level::baseline;
    if (name == "avx2") wanted = level::x86_64_v3;
    if ((name == "neon" || name.starts_with("x86-64")) && !wanted) return lacks("which is another architecture");
    if (wanted.value_or(highest) > highest) return lacks("which this processor does not have");
    const compiled_level* best = nullptr;
    for (const compiled_level* one : compiled)
        if (one->which <= highest && (!wanted || one->which == *wanted) && (!best || one->which > best->which)) best = one;
    if (!best && wanted) return lacks("for which this program was not compiled");
    if (!best)
        throw error(errc::unsupported_arch, {"this processor supports ", name_of(highest),
                                             ", but the program was built without kernels for it; build the lower levels too"});
    selection made{best, allowed};
    if (!best->is_whole) { // its object has only the kernels that belong to the level
        if (best->which < level::x86_64_v4) made.extensions.avx512_vnni = made.extensions.avx512_bf16 = made.extensions.amx_bf16 = false;
        if (best->which < level::x86_64_v3) made.extensions.avx2 = made.extensions.avx_vnni = false;
    }
    return made;
}

PALI_INLINE const selection& selected() {
    static const selection made = [] {
        const char* const name = std::getenv("PALI_ARCH");
        return select(name ? name : "", compiled_levels(), highest_level(this_processor()), detected());
    }();
    return made;
}

}}} // namespace pali::PALI_ABI::arch

// Body of active(), the kernels of the selected level. Compiled once; header-only programs have a single level.

namespace pali { inline namespace PALI_ABI { namespace kernels {

const entry_points& active() {
    static const entry_points& of_level = *arch::selected().level->kernels;
    return of_level;
}

}}} // namespace pali::PALI_ABI::kernels

template class pali::model<pali::dynamic, pali::f32>;
template class pali::model<pali::dynamic, pali::bf16>;
template class pali::model<pali::dynamic, pali::int8>;
template class pali::model<pali::dynamic, pali::int4>;

#endif // PALI_LEVEL
