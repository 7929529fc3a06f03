// Progress of long work, and the means to stop it.
#pragma once

#include <pali/core/macros.hpp>

#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Called with the name of the stage ("load", "image", "prefill", "decode", "search", "quantize") and the fraction of the whole call that
/// is done, 0 to 1, which never falls. Return false to stop the call; it is not called again then.
using progress_callback = std::function<bool(std::string_view stage, double fraction)>;

}} // namespace pali::PALI_ABI
