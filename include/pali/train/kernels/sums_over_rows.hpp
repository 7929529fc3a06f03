// Sums over the rows of an activation: gradients of biases and of the scales of norms.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// to[i] += the sum of term(t, i) over rows t in [0, count), for i in [0, width). The rows are added in order; threads divide the columns.
template <class Term>
void add_over_rows(std::size_t count, std::size_t width, float* to, thread_pool& threads, const Term& term) {
    constexpr std::size_t columns_a_task = 128;
    threads.run_blocks(width, columns_a_task, [&](std::size_t first, std::size_t n) {
        float sums[columns_a_task] = {};
        for (std::size_t t = 0; t < count; ++t)
            for (std::size_t i = 0; i < n; ++i) sums[i] += term(t, first + i);
        for (std::size_t i = 0; i < n; ++i) to[first + i] += sums[i];
    });
}

/// Computes dbias += the sum of the rows of dy: the gradient of a bias, of a linear map or a norm. dy (T, N), dbias (N).
inline void bias_backward(rows<const float> dy, float* dbias, thread_pool& threads) {
    add_over_rows(dy.count, dy.width, dbias, threads, [&](std::size_t t, std::size_t i) { return dy[t][i]; });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
