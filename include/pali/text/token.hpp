// The token type.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>

namespace pali { inline namespace PALI_ABI {

/// Index into the vocabulary, numbered as in sentencepiece and transformers.
using token = std::int32_t;

}} // namespace pali::PALI_ABI
