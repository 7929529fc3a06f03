// Which rows of a matrix belong to which sequence.
#pragma once

#include <pali/decoder/kv_cache.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Rows [first, first + count) are the next tokens of the sequence in `cache`: a whole prompt, or one token of a batch.
struct sequence {
    kv_cache* cache = nullptr; ///< not owned; a pass appends to it
    std::size_t first = 0;     ///< row
    std::size_t count = 0;     ///< rows
};

}} // namespace pali::PALI_ABI
