// Compares gradients in float32 with central differences of a loss in double.
#pragma once

#include "kernels/numbers.hpp"

#include <pali/core/arena.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pali::test {

using floats = pali::core::aligned_vector<float>;
using doubles = std::vector<double>;

/// Widened values, and views of vectors as matrices.
inline doubles widened(std::span<const float> x) { return {x.begin(), x.end()}; }
inline core::rows<const float> matrix_of(const floats& x, std::size_t width) { return {x.data(), x.size() / width, width}; }
inline core::rows<float> matrix_of(floats& x, std::size_t width) { return {x.data(), x.size() / width, width}; }
inline core::rows<const double> matrix_of(const doubles& x, std::size_t width) { return {x.data(), x.size() / width, width}; }
inline core::rows<double> matrix_of(doubles& x, std::size_t width) { return {x.data(), x.size() / width, width}; }

/// Threads and scratch memory for one call.
struct workplace {
    explicit workplace(std::size_t count) : threads(count) {}
    core::thread_pool threads;
    core::arena scratch;
};

/// sum of a · b: the loss whose gradient with respect to y = a is b.
inline double dot(const doubles& a, std::span<const float> b) {
    BOOST_TEST_REQUIRE(a.size() == b.size());
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * static_cast<double>(b[i]);
    return sum;
}

/// What a function added to `before`.
inline floats added(const floats& after, const floats& before) {
    floats difference(after.size());
    for (std::size_t i = 0; i < after.size(); ++i) difference[i] = after[i] - before[i];
    return difference;
}

/// Checks that g is the gradient at x of loss(x), a function of doubles. Compares up to `most` elements (all, if there are fewer) with
/// their central differences, and the sums of g along four random directions of all elements with those of the loss. A single wrong element
/// of n changes such a sum by about |g| / sqrt(n), far more than the tolerance, which is relative to the norm |g|. The central differences
/// are exact to about 1e-9.
template <class Loss>
void check_gradient(const std::string& what, std::span<const float> x, std::span<const float> g, double tolerance, const Loss& loss,
                    std::size_t most = 48) {
    BOOST_TEST_REQUIRE(x.size() == g.size());
    const doubles at = widened(x);
    double norm = 0, compared = 0, error = 0;
    for (const float value : g) norm += static_cast<double>(value) * static_cast<double>(value);
    norm = std::sqrt(norm);
    std::mt19937 bits(7);
    const std::size_t samples = std::min(most, x.size());
    for (std::size_t n = 0; n < samples; ++n) {
        const std::size_t i = x.size() <= most ? n : bits() % x.size();
        constexpr double step = 1e-5;
        doubles moved = at;
        moved[i] = at[i] + step;
        const double up = loss(std::as_const(moved));
        moved[i] = at[i] - step;
        const double want = (up - loss(std::as_const(moved))) / (2 * step), difference = static_cast<double>(g[i]) - want;
        compared += want * want;
        error += std::isfinite(difference) ? difference * difference : HUGE_VAL;
    }
    // Samples that are all near zero are compared with the whole gradient.
    const double scale = std::max(std::sqrt(compared), norm * std::sqrt(static_cast<double>(samples) / static_cast<double>(x.size())));
    BOOST_TEST(std::sqrt(error) <= tolerance * scale, what << ": elements differ by " << std::sqrt(error) << " of " << scale);
    BOOST_TEST(scale > 0, what << ": the gradient is zero");
    for (int n = 0; n < 4; ++n) {
        constexpr double step = 1e-6;
        doubles up = at, down = at;
        double along = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double direction = bits() % 2 ? 1 : -1;
            up[i] += step * direction;
            down[i] -= step * direction;
            along += direction * static_cast<double>(g[i]);
        }
        const double want = (loss(std::as_const(up)) - loss(std::as_const(down))) / (2 * step);
        BOOST_TEST(std::abs(along - want) <= tolerance * norm,
                   what << ": " << along << " along a direction, not " << want << "; norm " << norm);
    }
}

} // namespace pali::test
