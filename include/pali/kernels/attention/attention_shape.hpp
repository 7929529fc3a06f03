// Dimensions and limits of attention.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Dimensions and limits of attention.
struct attention_shape {
    std::size_t heads = 0;    ///< query heads
    std::size_t kv_heads = 0; ///< key and value heads; heads % kv_heads == 0
    std::size_t head_dim = 0; ///< elements of a head
    float scale = 1;          ///< factor of the queries
    float softcap = 0;        ///< limit of the scores; 0: none
};

}}} // namespace pali::PALI_ABI::kernels
