// The two kinds of forward pass.
#pragma once

#include <pali/core/macros.hpp>

namespace pali { inline namespace PALI_ABI { namespace core {

/// A prefill processes many tokens of one sequence; a decode step processes the next token of each of several sequences. Kernels are
/// selected by the kind of pass and not by the number of rows, so the results of a decode step are bit-identical for every batch size.
enum class pass {
    prefill, ///< compute-bound: images and prompts
    step,    ///< memory-bound (reads all weights): one token per sequence, and logits
};

}}} // namespace pali::PALI_ABI::core
