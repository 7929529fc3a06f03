// Operating system services other than memory, for which see files/mmap.hpp. Only their bodies depend on the system.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Pins the calling thread to processor `i`, modulo the number of processors that it may run on. Returns whether it was pinned, which is
/// possible on Linux and Windows.
bool pin_this_thread(std::size_t i) noexcept;

/// Requests permission for the AMX tile registers, which Linux grants per process. Returns false if it is not granted, and on other
/// systems.
[[nodiscard]] bool may_use_tiles() noexcept;

/// The id of this process, which differs in a child after fork().
[[nodiscard]] long process_id() noexcept;

/// Cache sizes of one core, in bytes.
struct cache_sizes {
    std::size_t first = 0;  ///< L1 data
    std::size_t second = 0; ///< L2; that of the cluster where cores share it
};

/// The cache sizes that the system reports; 0 where it reports none.
[[nodiscard]] cache_sizes caches_of_a_core() noexcept;

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/core/system.ipp>
#endif
