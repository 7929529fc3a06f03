// A token is a number.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>

namespace pali { inline namespace PALI_ABI {

/// Index into the vocabulary, as sentencepiece and transformers number it.
using token = std::int32_t;

}} // namespace pali::PALI_ABI
