// A thread that stays on one processor.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

#if defined(__linux__)
#  include <sched.h>
#endif

namespace pali::inline PALI_ABI {

/// Keeps the calling thread on processor `i` of those that it may run on, counted in a circle. Returns whether it stays there: elsewhere than on Linux it does not.
inline bool pin_this_thread([[maybe_unused]] std::size_t i) noexcept {
#if defined(__linux__)
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
    i %= static_cast<std::size_t>(CPU_COUNT(&allowed));
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed) || i-- != 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
#endif
    return false;
}

} // namespace pali::inline PALI_ABI
