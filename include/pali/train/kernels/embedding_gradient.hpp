// Backward pass of the token embedding.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// Gradient of y[t] = factor · embedding[tokens[t]], where the factor is sqrt(D) in Gemma: dembedding[tokens[t]] += factor · dy[t], in the
/// order of t. dy (T, D); dembedding (V, D). Every token must be in [0, V). Threads divide the columns.
inline void embedding_backward(std::span<const std::int32_t> tokens, rows<const float> dy, float factor, rows<float> dembedding,
                               thread_pool& threads) {
    constexpr std::size_t columns_a_task = 256;
    PALI_ASSERT(tokens.size() == dy.count && dy.width == dembedding.width);
    threads.run_blocks(dy.width, columns_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const float* const from = dy[t] + first;
            float* const to = dembedding[static_cast<std::size_t>(tokens[t])] + first;
            for (std::size_t i = 0; i < n; ++i) to[i] += factor * from[i];
        }
    });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
