// Progress of long operations, and the way to cancel them.
#pragma once

#include <pali/core/macros.hpp>

#include <functional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Called with the name of the stage ("load", "image", "prefill", "decode", "search", "quantize") and the fraction of the whole call that
/// is done, 0 to 1, which never decreases. Return false to cancel the call; the callback is then not called again.
using progress_callback = std::function<bool(std::string_view stage, double fraction)>;

}} // namespace pali::PALI_ABI
