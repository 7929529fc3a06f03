// What keys and values of earlier tokens are kept in.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Numbers that keys and values are kept in: bf16 takes half of the memory, and half of the reading of a token with much behind it.
enum class kv_type { f32, bf16 };

}} // namespace pali::PALI_ABI
