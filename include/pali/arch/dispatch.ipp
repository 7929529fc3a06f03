// Bodies of dispatch.hpp. They are compiled once. Header-only programs have no list of levels.
#pragma once

#include <pali/arch/dispatch.hpp>
#include <pali/core/error.hpp>

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
    std::optional<level> wanted; // the level that `name` requests
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
    if (!best->is_whole) { // the object has only the kernels of its level
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
