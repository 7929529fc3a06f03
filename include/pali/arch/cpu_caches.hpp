// Cache sizes of the processor, detected at run time.
#pragma once

#include <pali/core/system.hpp>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// Sizes of the L1 data cache and of the L2 cache of one core, in bytes. Kernels choose their block sizes by them. If the system reports no
/// sizes, they are 32 KiB and 512 KiB.
[[nodiscard]] const cache_sizes& caches() noexcept;

}}} // namespace pali::PALI_ABI::arch

#ifndef PALI_COMPILED
#  include <pali/arch/cpu_caches.ipp>
#endif
