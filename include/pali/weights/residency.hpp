// Where weights are read from at run time.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Location of the weights while the model runs.
enum class residency {
    mapped,   ///< in the mmapped file if the dtype fits (zero-copy): starts immediately, shares memory with other processes
    resident, ///< in a copy on huge pages: decodes faster
};

}} // namespace pali::PALI_ABI
