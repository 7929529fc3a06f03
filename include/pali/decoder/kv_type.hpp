// Element type of the KV cache.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Element type of the KV cache. bf16 halves the memory of the cache, and the bytes that a decode step reads from it.
enum class kv_type { f32, bf16 };

}} // namespace pali::PALI_ABI
