// What is asked of the operating system besides memory, for which see files/mmap.hpp. The bodies of these are all that names one.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Keeps the calling thread on processor `i` of those that it may run on, counted in a circle. Returns whether it stays there: on Linux and
/// Windows.
bool pin_this_thread(std::size_t i) noexcept;

/// Asks for the tile registers of AMX, which a process has when it asks. False where they are not given: elsewhere than on Linux, too.
[[nodiscard]] bool may_use_tiles() noexcept;

/// Bytes of the caches that a core has for itself.
struct cache_sizes {
    std::size_t first = 0;  ///< for data
    std::size_t second = 0; ///< that of a cluster where cores share it
};

/// As the system knows them; 0 where it does not.
[[nodiscard]] cache_sizes caches_of_a_core() noexcept;

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/core/system.ipp>
#endif
