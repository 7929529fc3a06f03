// Bodies of system.hpp: Linux, and Windows by its documented calls. The Windows bodies were compiled (MinGW-w64) but never run.
#pragma once

#include <pali/core/system.hpp>

#include <algorithm>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  ifndef WIN32_LEAN_AND_MEAN
#    define WIN32_LEAN_AND_MEAN
#  endif
#  include <windows.h>
#else
#  if defined(__linux__)
#    include <sched.h>
#    include <sys/syscall.h>
#  endif
#  include <unistd.h>
#endif

namespace pali { inline namespace PALI_ABI { namespace core {

PALI_INLINE bool pin_this_thread([[maybe_unused]] std::size_t i) noexcept {
#if defined(_WIN32)
    DWORD_PTR allowed = 0, of_system = 0; // masks of one processor group, which has at most 64 processors
    if (!GetProcessAffinityMask(GetCurrentProcess(), &allowed, &of_system) || allowed == 0) return false;
    std::size_t count = 0;
    for (DWORD_PTR rest = allowed; rest != 0; rest &= rest - 1) ++count;
    for (i %= count; i != 0; --i) allowed &= allowed - 1; // clears the lowest bit
    return SetThreadAffinityMask(GetCurrentThread(), allowed & (~allowed + 1)) != 0;
#elif defined(__linux__)
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
    i %= static_cast<std::size_t>(CPU_COUNT(&allowed));
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed) || i-- != 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
    return false;
#else
    return false;
#endif
}

PALI_INLINE long process_id() noexcept {
#if defined(_WIN32)
    return static_cast<long>(GetCurrentProcessId());
#else
    return static_cast<long>(getpid());
#endif
}

PALI_INLINE cache_sizes caches_of_a_core() noexcept {
    cache_sizes sizes;
#if defined(_WIN32)
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION known[512]; // one processor group: at most 64 processors with a few entries each
    DWORD bytes = sizeof known;
    if (!GetLogicalProcessorInformation(known, &bytes)) return sizes;
    for (DWORD i = 0; i < bytes / sizeof known[0]; ++i) {
        if (known[i].Relationship != RelationCache || known[i].Cache.Type == CacheInstruction) continue;
        if (known[i].Cache.Level == 1) sizes.l1 = known[i].Cache.Size;
        if (known[i].Cache.Level == 2) sizes.l2 = known[i].Cache.Size;
    }
#elif defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    sizes.l1 = static_cast<std::size_t>(std::max(0L, sysconf(_SC_LEVEL1_DCACHE_SIZE)));
    sizes.l2 = static_cast<std::size_t>(std::max(0L, sysconf(_SC_LEVEL2_CACHE_SIZE)));
#endif
    return sizes;
}

// Source: Documentation/arch/x86/xstate.rst of Linux (ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
PALI_INLINE bool may_use_tiles() noexcept {
#if defined(__x86_64__) && defined(__linux__) && defined(SYS_arch_prctl)
    constexpr long ask_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
#else
    return false;
#endif
}

}}} // namespace pali::PALI_ABI::core
