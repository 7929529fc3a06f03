// How large the caches of the processor are, found when the program runs.
#pragma once

#include <pali/core/system.hpp>

#include <algorithm>

namespace pali::inline PALI_ABI::arch {

/// What kernels cut their work for: the first and the second level of one core, in bytes. Where the system does not say, 32 KiB and 512 KiB.
[[nodiscard]] inline const cache_sizes& caches() noexcept {
    static const cache_sizes found = [] {
        const cache_sizes said = caches_of_a_core();
        return cache_sizes{.first = said.first ? std::clamp<std::size_t>(said.first, 16 << 10, 1 << 20) : 32 << 10,
                           .second = said.second ? std::clamp<std::size_t>(said.second, 128 << 10, 64 << 20) : 512 << 10};
    }();
    return found;
}

} // namespace pali::inline PALI_ABI::arch
