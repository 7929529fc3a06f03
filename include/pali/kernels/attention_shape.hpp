// What an attention is: heads, limits, and where keys and values lie.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali::inline PALI_ABI::kernels {

/// Keys or values of all heads: head h of token s begins at data + h * head_stride + s * token_stride. Heads are zero-padded to
/// `padded_head_dim`, so that no kernel has a remainder to care for.
template <class Element>
struct head_view {
    const Element* data = nullptr; ///< first number of head 0 of token 0
    std::size_t token_stride = 0, head_stride = 0; ///< in elements
};

/// Numbers that a head takes with its padding: whole cache lines.
template <class Element>
[[nodiscard]] constexpr std::size_t padded_head_dim(std::size_t head_dim) noexcept {
    constexpr std::size_t line = 64 / sizeof(Element);
    return (head_dim + line - 1) / line * line;
}

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
