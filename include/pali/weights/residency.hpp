// Where weights are while a model runs.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Where the weights are read from while the model runs.
enum class residency {
    mapped,   ///< from the mapped file where its type fits: starts at once, shares memory with other processes
    resident, ///< from a copy on huge pages: decodes faster
};

}} // namespace pali::PALI_ABI
