// Element type of the KV cache.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Element type of the KV cache. bf16 halves its memory, and its bandwidth in decode steps with a long context.
enum class kv_type { f32, bf16 };

}} // namespace pali::PALI_ABI
