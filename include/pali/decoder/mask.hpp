// Who sees whom: the prefix-LM mask, with a sliding window.
#pragma once

#include <pali/kernels/attention_shape.hpp>

#include <algorithm>
#include <cstddef>

namespace pali::inline PALI_ABI {

/// The prefix-LM mask of PaliGemma (arXiv 2407.07726, figure 2): the first `prefix` tokens see each other, all later ones what came
/// before them. A window (Gemma 2, even layers) hides from a later token what is `window` or more behind it; the prefix stays visible
/// to itself, as in transformers masking_utils.py. What a token sees is always one range:
///
///     prefix 3, no window      prefix 3, window 2
///     a  x x x . .             a  x x x . .
///     b  x x x . .             b  x x x . .
///     c  x x x . .             c  x x x . .
///     d  x x x x .             d  . . x x .
///     e  x x x x x             e  . . . x x
struct prefix_mask {
    std::size_t prefix = 0; ///< tokens
    std::size_t window = 0; ///< tokens; 0: none

    /// The tokens that the one at `position` sees.
    [[nodiscard]] kernels::key_range operator()(std::size_t position) const noexcept {
        if (position < prefix) return {0, prefix};
        return {window > 0 && position + 1 > window ? position + 1 - window : 0, position + 1};
    }
};

/// What each of several tokens in a row sees, the first of them at `start`. A type of its own, and no lambda of a block, so that the kernel
/// is instantiated once for all variants.
struct prefix_mask_from {
    prefix_mask mask;      ///< of the sequence
    std::size_t start = 0; ///< position of row 0

    /// The tokens that the one in `row` sees.
    [[nodiscard]] kernels::key_range operator()(std::size_t row) const noexcept { return mask(start + row); }
};

} // namespace pali::inline PALI_ABI
