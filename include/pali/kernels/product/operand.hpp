// An operand of a product: one of several weight matrices by which the same activations are multiplied.
#pragma once

#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// (weights, bias, output) of one GEMM y = x · wᵀ + bias. A product takes several operands that share x, for example Q, K and V, so x is
/// rounded and packed once.
template <class Weights>
struct operand {
    Weights weights;             ///< w (N, K), as stored
    const float* bias = nullptr; ///< (N), or null
    rows<float> y;               ///< (T, N); must not alias x
};

/// Deduction guide, for compilers that do not deduce the template argument of an aggregate.
template <class Weights>
operand(Weights, const float*, rows<float>) -> operand<Weights>;

/// Sum of N over all operands.
template <class Weights>
[[nodiscard]] std::size_t outputs_of(std::initializer_list<operand<Weights>> with) noexcept {
    std::size_t sum = 0;
    for (const auto& of : with) sum += of.y.width;
    return sum;
}

/// Calls task(operand, first, n, thread) for blocks of outputs [first, first + n) of each operand; n is at most `at_once`. The blocks of
/// all operands are tasks of one run, so threads synchronize once and not after each operand.
template <class Weights, class Task>
void for_outputs(std::initializer_list<operand<Weights>> with, std::size_t at_once, thread_pool& threads, Task&& task) {
    const auto tasks_of = [at_once](const operand<Weights>& of) { return (of.y.width + at_once - 1) / at_once; };
    std::size_t count = 0;
    for (const auto& of : with) count += tasks_of(of);
    threads.run(count, [&](std::size_t i, std::size_t thread) {
        const operand<Weights>* of = with.begin();
        for (; i >= tasks_of(*of); ++of) i -= tasks_of(*of);
        const std::size_t first = i * at_once;
        task(*of, first, std::min(at_once, of->y.width - first), thread);
    });
}

}}} // namespace pali::PALI_ABI::kernels
