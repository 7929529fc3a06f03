// Maps rows of a batch to sequences.
#pragma once

#include <pali/decoder/kv_cache.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace nn {

/// Rows [first, first + count) of the batch are the next tokens of the sequence in `cache`: a whole prompt, or one token per decode step.
struct sequence {
    kv_cache* cache = nullptr; ///< not owned; the pass appends to it
    std::size_t first = 0;     ///< first row
    std::size_t count = 0;     ///< number of rows
};

}}} // namespace pali::PALI_ABI::nn
