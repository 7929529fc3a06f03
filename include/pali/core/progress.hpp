// Progress of long work, and the means to stop it.
#pragma once

#include <pali/core/macros.hpp>

#include <functional>
#include <string_view>

namespace pali::inline PALI_ABI {

/// Called with the name of the stage ("load", "image", "prefill", "search", "quantize") and the fraction done, 0 to 1; each picture begins anew. Return false to stop the work.
using progress_callback = std::function<bool(std::string_view stage, double fraction)>;

} // namespace pali::inline PALI_ABI
