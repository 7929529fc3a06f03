// The callback that reports the progress of long operations and can cancel them.
#pragma once

#include <pali/core/macros.hpp>

#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Called with the name of the stage ("load", "image", "prefill", "decode", "search", "quantize") and the completed fraction of the whole
/// call, 0 to 1, which never decreases. If it returns false, the call is cancelled and the callback is not called again.
using progress_callback = std::function<bool(std::string_view stage, double fraction)>;

}} // namespace pali::PALI_ABI
