// Services of the operating system, except memory (see files/mmap.hpp). Only their bodies depend on the system.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Pins the calling thread to processor `i`, modulo the number of processors that it may run on. Returns whether the thread was pinned.
/// Pinning is implemented for Linux and Windows.
bool pin_this_thread(std::size_t i) noexcept;

/// Requests permission for the AMX tile registers, which Linux grants per process. Returns whether it was granted; always false on other
/// systems.
[[nodiscard]] bool may_use_tiles() noexcept;

/// The id of this process, which differs in a child after fork().
[[nodiscard]] long process_id() noexcept;

/// Cache sizes of one core, in bytes.
struct cache_sizes {
    std::size_t l1 = 0; ///< L1 data
    std::size_t l2 = 0; ///< L2; if cores share it, the size of the shared cache
};

/// The cache sizes that the system reports; 0 where it reports none.
[[nodiscard]] cache_sizes caches_of_a_core() noexcept;

}}} // namespace pali::PALI_ABI::core

#ifndef PALI_COMPILED
#  include <pali/core/system.ipp>
#endif
