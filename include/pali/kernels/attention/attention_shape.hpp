// What an attention is: heads and limits.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Heads and limits of an attention.
struct attention_shape {
    std::size_t heads = 0, kv_heads = 0, head_dim = 0; ///< of queries; of keys and values, heads % kv_heads == 0; numbers of each
    float scale = 1;                                   ///< of the queries
    float softcap = 0;                                 ///< of the scores; 0: none
};

}}} // namespace pali::PALI_ABI::kernels
