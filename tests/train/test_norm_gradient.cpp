// Gradients of RMSNorm and LayerNorm.
#include "gradients.hpp"

#include <pali/kernels/reference.hpp>
#include <pali/train/kernels/layer_norm_gradient.hpp>
#include <pali/train/kernels/rms_norm_gradient.hpp>

#include <array>

namespace {

using namespace pali::test;
namespace train = pali::train;
namespace reference = pali::kernels::reference;

struct sizes {
    std::size_t count, width;
};
const sizes cases[] = {{1, 5}, {3, 16}, {37, 33}, {5, 192}, {2, 1152}, {20, 2304}};
constexpr double tolerance = 5e-6;

std::string named(const std::string& arch, const sizes& s) {
    return arch + " " + std::to_string(s.count) + " x " + std::to_string(s.width);
}

} // namespace

BOOST_AUTO_TEST_SUITE(norm_gradient)

BOOST_AUTO_TEST_CASE(of_rms_norm) {
    for_every_arch([](auto tag) {
        for (const sizes& s : cases) {
            const std::string what = named(decltype(tag)::name(), s);
            const std::size_t n = s.count * s.width;
            const floats x = random(n, 1, 3.f), scale = random(s.width, 2), dy = random(n, 3), before = random(s.width, 4);
            std::array<floats, 2> dx{floats(n, NAN), floats(n, NAN)}, dscale{before, before};
            for (const std::size_t i : {0u, 1u}) {
                workplace at(1 + 2 * i);
                train::rms_norm_backward(tag, matrix_of(x, s.width), scale.data(), 1e-3f, matrix_of(dy, s.width), matrix_of(dx[i], s.width),
                                         dscale[i].data(), at.threads, at.scratch);
            }
            BOOST_TEST((dx[0] == dx[1] && dscale[0] == dscale[1]), what << ": bits depend on threads");
            floats frozen(n);
            workplace at(1);
            train::rms_norm_backward(tag, matrix_of(x, s.width), scale.data(), 1e-3f, matrix_of(dy, s.width), matrix_of(frozen, s.width),
                                     nullptr, at.threads, at.scratch);
            BOOST_TEST((frozen == dx[0]), what << ": a frozen scale changes dx");
            const auto loss = [&](const doubles& inputs, const doubles& scales) {
                doubles y(n);
                reference::rms_norm(matrix_of(inputs, s.width), scales.data(), 1e-3f, matrix_of(y, s.width));
                return dot(y, dy);
            };
            check_gradient(what + " x", x, dx[0], tolerance, [&](const doubles& inputs) { return loss(inputs, widened(scale)); });
            check_gradient(what + " scale", scale, added(dscale[0], before), tolerance,
                           [&](const doubles& scales) { return loss(widened(x), scales); });
        }
    });
}

BOOST_AUTO_TEST_CASE(of_layer_norm) {
    for_every_arch([](auto tag) {
        for (const sizes& s : cases) {
            const std::string what = named(decltype(tag)::name(), s);
            const std::size_t n = s.count * s.width;
            floats x = random(n, 1, 3.f);
            for (float& value : x) value += 1.f; // a mean that is not zero
            const floats scale = random(s.width, 2), bias = random(s.width, 5), dy = random(n, 3), before = random(s.width, 4),
                         bias_before = random(s.width, 6);
            std::array<floats, 2> dx{floats(n, NAN), floats(n, NAN)}, dscale{before, before}, dbias{bias_before, bias_before};
            for (const std::size_t i : {0u, 1u}) {
                workplace at(1 + 2 * i);
                train::layer_norm_backward(tag, matrix_of(x, s.width), scale.data(), 1e-3f, matrix_of(dy, s.width),
                                           matrix_of(dx[i], s.width), dscale[i].data(), dbias[i].data(), at.threads, at.scratch);
            }
            BOOST_TEST((dx[0] == dx[1] && dscale[0] == dscale[1] && dbias[0] == dbias[1]), what << ": bits depend on threads");
            floats frozen(n);
            workplace at(1);
            train::layer_norm_backward(tag, matrix_of(x, s.width), scale.data(), 1e-3f, matrix_of(dy, s.width), matrix_of(frozen, s.width),
                                       nullptr, nullptr, at.threads, at.scratch);
            BOOST_TEST((frozen == dx[0]), what << ": a frozen scale changes dx");
            const auto loss = [&](const doubles& inputs, const doubles& scales, const doubles& biases) {
                doubles y(n);
                reference::layer_norm(matrix_of(inputs, s.width), scales.data(), biases.data(), 1e-3f, matrix_of(y, s.width));
                return dot(y, dy);
            };
            check_gradient(what + " x", x, dx[0], tolerance, [&](const doubles& v) { return loss(v, widened(scale), widened(bias)); });
            check_gradient(what + " scale", scale, added(dscale[0], before), tolerance,
                           [&](const doubles& v) { return loss(widened(x), v, widened(bias)); });
            check_gradient(what + " bias", bias, added(dbias[0], bias_before), tolerance,
                           [&](const doubles& v) { return loss(widened(x), widened(scale), v); });
        }
    });
}

BOOST_AUTO_TEST_SUITE_END()
