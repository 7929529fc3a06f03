// Body of cpu_caches.hpp.
#pragma once

#include <pali/arch/cpu_caches.hpp>

#include <algorithm>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace arch {

PALI_INLINE const cache_sizes& caches() noexcept {
    static const cache_sizes found = [] {
        const cache_sizes said = caches_of_a_core();
        return cache_sizes{.l1 = said.l1 ? std::clamp<std::size_t>(said.l1, 16 << 10, 1 << 20) : 32 << 10,
                           .l2 = said.l2 ? std::clamp<std::size_t>(said.l2, 128 << 10, 64 << 20) : 512 << 10};
    }();
    return found;
}

}}} // namespace pali::PALI_ABI::arch
