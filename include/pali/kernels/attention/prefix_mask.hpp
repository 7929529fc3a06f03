// The prefix-LM attention mask, with an optional sliding window.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Range of keys that a query sees: [begin, end), never empty.
struct key_range {
    std::size_t begin = 0; ///< first token
    std::size_t end = 0;   ///< one past the last token
};

/// Prefix-LM mask of PaliGemma (arXiv 2407.07726, figure 2). The first `prefix` tokens see each other. Each later token sees itself and all
/// tokens before it. A window (Gemma 2, even layers) hides from a later token the tokens that are `window` or more positions before it. The
/// tokens of the prefix always see the whole prefix, as in transformers masking_utils.py. The tokens that a token sees are always one
/// range:
///
///     prefix 3, no window      prefix 3, window 2
///     a  x x x . .             a  x x x . .
///     b  x x x . .             b  x x x . .
///     c  x x x . .             c  x x x . .
///     d  x x x x .             d  . . x x .
///     e  x x x x x             e  . . . x x
///
/// If all tokens belong to the prefix, nothing is masked.
struct prefix_mask {
    std::size_t prefix = 0; ///< length of the prefix, in tokens
    std::size_t window = 0; ///< length of the window, in tokens; 0: no window
    std::size_t start = 0;  ///< position of query row 0

    /// The range of tokens that the query in `row` sees.
    [[nodiscard]] key_range operator()(std::size_t row) const noexcept {
        const std::size_t position = start + row;
        if (position < prefix) return {0, prefix};
        return {window > 0 && position + 1 > window ? position + 1 - window : 0, position + 1};
    }
};

}}} // namespace pali::PALI_ABI::kernels
