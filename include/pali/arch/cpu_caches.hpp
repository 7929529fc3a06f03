// How large the caches of the processor are, found when the program runs.
#pragma once

#include <pali/core/system.hpp>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// What kernels cut their work for: the first and the second level of one core, in bytes. Where the system does not say, 32 KiB and 512
/// KiB.
[[nodiscard]] const cache_sizes& caches() noexcept;

}}} // namespace pali::PALI_ABI::arch

#ifndef PALI_COMPILED
#  include <pali/arch/cpu_caches.ipp>
#endif
