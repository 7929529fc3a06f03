// The two kinds of a forward pass.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Many tokens of one sequence at once, or the next token of each of several sequences. Kernels are chosen by it, and not by the number of
/// rows: a token of a step then has the same bits in a batch of any size.
enum class pass {
    prefill, ///< bound by arithmetic: images and prompts
    step,    ///< bound by reading weights: one token a sequence, and logits
};

}} // namespace pali::PALI_ABI
