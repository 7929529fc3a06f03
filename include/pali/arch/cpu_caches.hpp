// Cache sizes of the processor, detected at run time.
#pragma once

#include <pali/core/system.hpp>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// L1 data and L2 of one core in bytes, which kernels choose their blocks by. 32 KiB and 512 KiB where the system reports none.
[[nodiscard]] const cache_sizes& caches() noexcept;

}}} // namespace pali::PALI_ABI::arch

#ifndef PALI_COMPILED
#  include <pali/arch/cpu_caches.ipp>
#endif
