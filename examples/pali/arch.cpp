// pali inspect --arch: compiled kernel levels, levels of this processor, and the active one.
#include "arch.hpp"

#include <pali/arch/dispatch.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace {

std::string names_of(const pali::arch::features& extensions) {
    std::string names;
    const auto add = [&](bool there, const char* name) {
        if (there) names += (names.empty() ? "" : " ") + std::string(name);
    };
    add(extensions.avx2, "avx2");
    add(extensions.avx_vnni, "avx_vnni");
    add(extensions.avx512_vnni, "avx512_vnni");
    add(extensions.avx512_bf16, "avx512_bf16");
    add(extensions.amx_bf16, "amx_bf16");
    return names.empty() ? "none" : names;
}

} // namespace

void show_arch() {
    const pali::arch::level highest = highest_level(pali::arch::this_processor());
    const pali::arch::selection& active = pali::arch::selected();
    std::cout << "levels compiled:";
    for (const pali::arch::compiled_level* one : pali::arch::compiled_levels()) std::cout << ' ' << name_of(one->which);
    std::cout << "\nlevels of this processor:";
    for (const pali::arch::compiled_level* one : pali::arch::compiled_levels())
        if (one->which <= highest) std::cout << ' ' << name_of(one->which);
    std::cout << "\nextensions of this processor: " << names_of(pali::arch::detected()) << "\nactive: " << name_of(active.level->which)
              << ", extensions: " << names_of(active.extensions) << '\n';
}
