// The blocked product, and the gradients of a linear map.
#include "gradients.hpp"

#include <pali/kernels/reference.hpp>
#include <pali/train/kernels/linear_gradient.hpp>

#include <array>
#include <cstdint>
#include <tuple>

namespace {

using namespace pali::test;
using pali::core::bfloat16;
using pali::core::rows;
namespace train = pali::train;

struct sizes {
    std::size_t T, N, K; // rows, outputs, inputs
};
// Odd sizes, fewer columns than a register, more rows than a block of 288, more terms than a block of 256, more columns than a task.
const sizes cases[] = {{1, 1, 1}, {3, 5, 7}, {9, 33, 64}, {17, 300, 40}, {300, 70, 290}, {600, 31, 17}, {40, 600, 130}, {2, 1000, 65}};

template <class Element>
auto weights_of(std::size_t n, unsigned seed) {
    return pali::test::random<Element>(n, seed);
}
template <class Element>
doubles widened_weights(const pali::core::aligned_vector<Element>& w) {
    doubles to;
    for (const Element x : w) to.push_back(static_cast<double>(static_cast<float>(x)));
    return to;
}

template <class Element, class Tag>
void input_gradient_matches(Tag tag, const sizes& s) {
    const std::string what = Tag::name() + " T " + std::to_string(s.T) + " N " + std::to_string(s.N) + " K " + std::to_string(s.K);
    const floats x = random(s.T * s.K, 1), dy = random(s.T * s.N, 2);
    const auto w = weights_of<Element>(s.N * s.K, 3);
    const rows<const Element> weights(w.data(), s.N, s.K);
    const doubles wide = widened_weights(w);
    std::array<floats, 2> dx{floats(s.T * s.K, NAN), floats(s.T * s.K, NAN)};
    for (const std::size_t i : {0u, 1u}) {
        workplace at(1 + 2 * i);
        train::linear_input_backward(tag, {train::product_term{train::stored_factor{matrix_of(dy, s.N)}, weights}}, matrix_of(dx[i], s.K),
                                     at.threads, at.scratch);
    }
    BOOST_TEST((dx[0] == dx[1]), what << ": bits depend on threads");
    check_gradient(
        what, x, dx[0], 5e-6,
        [&](const doubles& inputs) {
            doubles y(s.T * s.N);
            pali::kernels::reference::matmul(matrix_of(inputs, s.K), matrix_of(wide, s.K), nullptr, matrix_of(y, s.N));
            return dot(y, dy);
        },
        12);
}

} // namespace

BOOST_AUTO_TEST_SUITE(linear_gradient)

BOOST_AUTO_TEST_CASE(of_the_input) {
    for_every_arch([](auto tag) {
        for (const sizes& s : cases) {
            input_gradient_matches<float>(tag, s);
            input_gradient_matches<bfloat16>(tag, s);
        }
    });
}

BOOST_AUTO_TEST_CASE(of_an_input_of_three_maps_is_their_sum) {
    const std::size_t T = 21, K = 50, outputs[] = {40, 1, 300};
    const floats x = random(T * K, 1);
    std::array<floats, 3> dy, w;
    for (const std::size_t i : {0u, 1u, 2u})
        dy[i] = random(T * outputs[i], 10 + unsigned(i)), w[i] = random(outputs[i] * K, 20 + unsigned(i));
    const auto term = [&](std::size_t i) {
        return train::product_term{train::stored_factor{matrix_of(std::as_const(dy[i]), outputs[i])}, matrix_of(std::as_const(w[i]), K)};
    };
    floats dx(T * K, NAN);
    workplace at(2);
    train::linear_input_backward(pali::arch::native, {term(0), term(1), term(2)}, matrix_of(dx, K), at.threads, at.scratch);
    check_gradient("three maps", x, dx, 5e-6, [&](const doubles& inputs) {
        double loss = 0;
        for (const std::size_t i : {0u, 1u, 2u}) {
            doubles y(T * outputs[i]);
            pali::kernels::reference::matmul(matrix_of(inputs, K), matrix_of(std::as_const(w[i]), K), nullptr, matrix_of(y, outputs[i]));
            loss += dot(y, dy[i]);
        }
        return loss;
    });
}

BOOST_AUTO_TEST_CASE(of_the_weights_and_the_bias_is_added) {
    for_every_arch([](auto tag) {
        for (const sizes& s : cases) {
            const std::string what =
                decltype(tag)::name() + " T " + std::to_string(s.T) + " N " + std::to_string(s.N) + " K " + std::to_string(s.K);
            const floats x = random(s.T * s.K, 1), dy = random(s.T * s.N, 2), w = random(s.N * s.K, 3), before = random(s.N * s.K, 4),
                         bias = random(s.N, 5), bias_before = random(s.N, 6);
            std::array<floats, 2> dw{before, before}, dbias{bias_before, bias_before};
            for (const std::size_t i : {0u, 1u}) {
                workplace at(1 + 2 * i);
                train::linear_weight_backward(tag, matrix_of(dy, s.N), matrix_of(x, s.K), matrix_of(dw[i], s.K), at.threads, at.scratch);
                train::bias_backward(matrix_of(dy, s.N), dbias[i].data(), at.threads);
            }
            BOOST_TEST((dw[0] == dw[1]), what << ": bits depend on threads");
            BOOST_TEST((dbias[0] == dbias[1]), what << ": bits depend on threads");
            check_gradient(
                what + " weights", w, added(dw[0], before), 5e-6,
                [&](const doubles& weights) {
                    doubles y(s.T * s.N);
                    pali::kernels::reference::matmul(matrix_of(x, s.K), matrix_of(weights, s.K), nullptr, matrix_of(y, s.N));
                    return dot(y, dy);
                },
                12);
            check_gradient(what + " bias", bias, added(dbias[0], bias_before), 5e-6, [&](const doubles& b) {
                doubles y(s.T * s.N);
                for (std::size_t i = 0; i < y.size(); ++i) y[i] = b[i % s.N];
                return dot(y, dy);
            });
        }
    });
}

BOOST_AUTO_TEST_CASE(whole_numbers_are_added_exactly_in_strided_matrices) {
    const auto whole = [](std::size_t n, std::size_t seed) {
        floats x(n);
        for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>((i + seed) * 37 % 15) - 7;
        return x;
    };
    for_every_arch([&](auto tag) {
        for (const sizes& s : cases) { // y (T, K) = a (T, N) · b (N, K); all rows are followed by three elements that must not be used
            const floats a = whole(s.T * (s.N + 3), 1), transposed = whole(s.N * (s.T + 3), 2), b = whole(s.N * (s.K + 3), 3);
            const rows<const float> right(b.data(), s.N, s.K, s.K + 3);
            const auto check = [&](const auto& left, auto element) {
                floats y = whole(s.T * (s.K + 3), 4), want = y;
                workplace at(2);
                train::multiply(tag, {train::product_term{left, right}}, train::output::accumulate,
                                rows<float>(y.data(), s.T, s.K, s.K + 3), at.threads, at.scratch);
                for (std::size_t t = 0; t < s.T; ++t)
                    for (std::size_t k = 0; k < s.K; ++k)
                        for (std::size_t n = 0; n < s.N; ++n) want[t * (s.K + 3) + k] += element(t, n) * right[n][k];
                BOOST_TEST((y == want), decltype(tag)::name() << " T " << s.T << " N " << s.N << " K " << s.K);
            };
            check(train::stored_factor{{a.data(), s.T, s.N, s.N + 3}}, [&](std::size_t t, std::size_t n) { return a[t * (s.N + 3) + n]; });
            check(train::transposed_factor{{transposed.data(), s.N, s.T, s.T + 3}},
                  [&](std::size_t t, std::size_t n) { return transposed[n * (s.T + 3) + t]; });
        }
    });
}

BOOST_AUTO_TEST_SUITE_END()
