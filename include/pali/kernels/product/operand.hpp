// One of the matrices that the same activations are multiplied with.
#pragma once

#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// A term of y = x · wᵀ + bias besides x. Products take several beside one x, and do once what they do to x: queries, keys and values are
/// such a case.
template <class Weights>
struct operand {
    Weights weights;             ///< w (N, K), as stored
    const float* bias = nullptr; ///< (N), or none
    rows<float> y;               ///< (T, N); not x
};

/// operand{w, bias, y}, also where a compiler does not deduce this by itself.
template <class Weights>
operand(Weights, const float*, rows<float>) -> operand<Weights>;

/// N of all operands together.
template <class Weights>
[[nodiscard]] std::size_t outputs_of(std::initializer_list<operand<Weights>> with) noexcept {
    std::size_t sum = 0;
    for (const auto& of : with) sum += of.y.width;
    return sum;
}

/// Calls task(operand, first, n, thread) for outputs [first, first + n) of each, `at_once` at most, in one run: threads wait for one
/// another once, and not at the end of each operand.
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
