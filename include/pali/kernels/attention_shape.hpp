// What an attention is: heads, limits, and who sees whom.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali::inline PALI_ABI::kernels {

/// The keys that a query sees: [begin, end), never empty.
struct key_range {
    std::size_t begin = 0, end = 0; ///< tokens
};

/// Every query sees all keys: nothing is masked.
struct all_keys {
    std::size_t count = 0; ///< keys

    /// The same range for any query.
    [[nodiscard]] key_range operator()(std::size_t) const noexcept { return {0, count}; }
};

/// Heads and limits of an attention.
struct attention_shape {
    std::size_t heads = 0, kv_heads = 0, head_dim = 0; ///< of queries; of keys and values, heads % kv_heads == 0; numbers of each
    float scale = 1;   ///< of the queries
    float softcap = 0; ///< of the scores; 0: none
};

} // namespace pali::inline PALI_ABI::kernels
