// Gradients of GELU, gated GELU, softcap, RoPE and the embedding.
#include "gradients.hpp"

#include <pali/kernels/pointwise/rope.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/train/kernels/embedding_gradient.hpp>
#include <pali/train/kernels/gated_gelu_gradient.hpp>
#include <pali/train/kernels/gelu_gradient.hpp>
#include <pali/train/kernels/rope_gradient.hpp>
#include <pali/train/kernels/softcap_gradient.hpp>

#include <cstdint>

namespace {

using namespace pali::test;
namespace train = pali::train;
namespace reference = pali::kernels::reference;

constexpr std::size_t lengths[] = {1, 7, 16, 33, 533};
constexpr double tolerance = 2e-6;

} // namespace

BOOST_AUTO_TEST_SUITE(pointwise_gradient)

BOOST_AUTO_TEST_CASE(of_gelu) {
    for_every_arch([](auto tag) {
        for (const std::size_t n : lengths) {
            const floats x = random(n, 1, 6.f), dy = random(n, 2);
            floats dx(n, NAN), in_place = dy;
            train::gelu_backward(tag, x.data(), dy.data(), dx.data(), n);
            train::gelu_backward(tag, x.data(), in_place.data(), in_place.data(), n);
            BOOST_TEST((dx == in_place));
            check_gradient(
                decltype(tag)::name() + " n " + std::to_string(n), x, dx, tolerance,
                [&](doubles y) {
                    for (double& value : y) value = reference::gelu(value);
                    return dot(y, dy);
                },
                n);
        }
    });
}

BOOST_AUTO_TEST_CASE(of_gated_gelu) {
    for_every_arch([](auto tag) {
        for (const std::size_t n : lengths) {
            const std::string what = decltype(tag)::name() + " n " + std::to_string(n);
            const floats gate = random(n, 1, 6.f), up = random(n, 2, 2.f), dy = random(n, 3);
            floats dgate(n, NAN), dup(n, NAN), gate_in_place = gate, up_in_place = up;
            train::gated_gelu_backward(tag, gate.data(), up.data(), dy.data(), dgate.data(), dup.data(), n);
            train::gated_gelu_backward(tag, gate_in_place.data(), up_in_place.data(), dy.data(), gate_in_place.data(), up_in_place.data(),
                                       n);
            BOOST_TEST((dgate == gate_in_place && dup == up_in_place));
            const auto loss = [&](const doubles& g, const doubles& u) {
                doubles y(n);
                for (std::size_t i = 0; i < n; ++i) y[i] = reference::gelu(g[i]) * u[i];
                return dot(y, dy);
            };
            check_gradient(what + " gate", gate, dgate, tolerance, [&](const doubles& g) { return loss(g, widened(up)); }, n);
            check_gradient(what + " up", up, dup, tolerance, [&](const doubles& u) { return loss(widened(gate), u); }, n);
        }
    });
}

BOOST_AUTO_TEST_CASE(of_softcap) {
    for_every_arch([](auto tag) {
        for (const std::size_t n : lengths) {
            constexpr float cap = 3.f;
            const floats x = random(n, 1, 6.f), dy = random(n, 2);
            floats y = x, dx(n, NAN);
            pali::kernels::softcap(tag, y.data(), n, cap);
            train::softcap_backward(tag, y.data(), cap, dy.data(), dx.data(), n);
            check_gradient(
                decltype(tag)::name() + " n " + std::to_string(n), x, dx, tolerance,
                [&](doubles values) {
                    for (double& value : values) value = reference::softcap(value, static_cast<double>(cap));
                    return dot(values, dy);
                },
                n);
        }
    });
}

BOOST_AUTO_TEST_CASE(of_rope) {
    for (const std::size_t head_dim : {2u, 18u, 72u, 256u})
        for (const std::size_t position : {std::size_t{0}, std::size_t{1}, std::size_t{20}}) {
            pali::kernels::rope_table table(head_dim, 10000.f);
            table.extend(position + 1);
            const floats x = random(head_dim, 1), dy = random(head_dim, 2);
            floats dx = dy, there_and_back = x;
            train::rotate_back(dx.data(), table.at(position));
            // float32 angles: one rounding of `position` radians
            check_gradient("head_dim " + std::to_string(head_dim), x, dx, tolerance + 1.2e-7 * static_cast<double>(position),
                           [&](doubles head) {
                               reference::rope(head.data(), head_dim, position, 10000.);
                               return dot(head, dy);
                           });
            pali::kernels::rotate(there_and_back.data(), table.at(position));
            train::rotate_back(there_and_back.data(), table.at(position));
            BOOST_TEST(difference(there_and_back, x) < 1e-6);
        }
}

BOOST_AUTO_TEST_CASE(of_an_embedding_is_added_to_the_rows_of_the_tokens) {
    constexpr std::size_t vocabulary = 9;
    const std::vector<std::int32_t> tokens{3, 0, 8, 3, 3, 5};
    for (const std::size_t width : {1u, 48u, 700u}) {
        const floats table = random(vocabulary * width, 1), dy = random(tokens.size() * width, 2), before = random(vocabulary * width, 3);
        const float factor = std::sqrt(static_cast<float>(width));
        std::vector<floats> gradients;
        for (const std::size_t threads : {1u, 3u}) {
            floats d = before;
            workplace at(threads);
            train::embedding_backward(tokens, matrix_of(dy, width), factor, matrix_of(d, width), at.threads);
            gradients.push_back(d);
        }
        BOOST_TEST((gradients[0] == gradients[1]), "bits depend on threads");
        for (const std::size_t other : {1u, 2u, 4u, 6u, 7u}) // not in the text
            BOOST_TEST(std::equal(before.begin() + std::ptrdiff_t(other * width), before.begin() + std::ptrdiff_t((other + 1) * width),
                                  gradients[0].begin() + std::ptrdiff_t(other * width)));
        check_gradient("width " + std::to_string(width), table, added(gradients[0], before), tolerance, [&](const doubles& rows) {
            doubles y;
            for (const std::int32_t token : tokens)
                for (std::size_t i = 0; i < width; ++i)
                    y.push_back(static_cast<double>(factor) * rows[static_cast<std::size_t>(token) * width + i]);
            return dot(y, dy);
        });
    }
}

BOOST_AUTO_TEST_SUITE_END()
