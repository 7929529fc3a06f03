// The two kinds of forward pass.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI {

/// Prefill of many tokens of one sequence, or a decode step with the next token of each of several sequences. Kernels are selected by the
/// kind and not by the number of rows, so a token of a step has the same bits in a batch of any size.
enum class pass {
    prefill, ///< compute-bound: images and prompts
    step,    ///< memory-bound (reads all weights): one token per sequence, and logits
};

}} // namespace pali::PALI_ABI
