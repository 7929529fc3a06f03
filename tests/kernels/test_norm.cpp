// Compares norms and element-wise functions with the reference, for every instruction set.
#include "numbers.hpp"

#include <pali/kernels/pointwise/activations.hpp>
#include <pali/kernels/pointwise/norm.hpp>
#include <pali/kernels/pointwise/rope.hpp>
#include <pali/kernels/reference.hpp>

#include <vector>

namespace {

using pali::core::rows;
namespace reference = pali::kernels::reference;

using pali::test::for_every_arch;

constexpr std::size_t widths[] = {1, 7, 16, 33, 192, 2304};

} // namespace

BOOST_AUTO_TEST_SUITE(norm)

BOOST_AUTO_TEST_CASE(rms_norm_matches_reference) {
    for (const std::size_t width : widths) {
        const auto x = pali::test::random(3 * width, 1, 5.f), scale = pali::test::random(width, 2);
        std::vector<double> want(x.size());
        reference::rms_norm(rows<const float>(x.data(), 3, width), scale.data(), 1e-6f, rows<double>(want.data(), 3, width));
        for_every_arch([&](auto tag) {
            auto y = x; // in place
            pali::kernels::rms_norm(tag, rows<const float>(y.data(), 3, width), scale.data(), 1e-6f, rows<float>(y.data(), 3, width));
            BOOST_TEST(pali::test::difference(y, want) < 1e-6, decltype(tag)::name() << " width " << width);
        });
    }
}

BOOST_AUTO_TEST_CASE(layer_norm_matches_reference) {
    for (const std::size_t width : widths) {
        auto x = pali::test::random(3 * width, 3, 5.f);
        for (float& value : x) value += 20.f; // a mean far from zero: the variance must not be computed as mean(x²) - mean²
        const auto scale = pali::test::random(width, 4), bias = pali::test::random(width, 5);
        std::vector<double> want(x.size());
        reference::layer_norm(rows<const float>(x.data(), 3, width), scale.data(), bias.data(), 1e-6f, rows<double>(want.data(), 3, width));
        for_every_arch([&](auto tag) {
            auto y = x;
            pali::kernels::layer_norm(tag, rows<const float>(y.data(), 3, width), scale.data(), bias.data(), 1e-6f,
                                      rows<float>(y.data(), 3, width));
            BOOST_TEST(pali::test::difference(y, want) < 5e-6, decltype(tag)::name() << " width " << width);
        });
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(elementwise)

BOOST_AUTO_TEST_CASE(gelu_matches_reference_from_tail_to_tail) {
    for (const std::size_t n : {1u, 15u, 16u, 4001u}) {
        pali::core::aligned_vector<float> x(n);
        for (std::size_t i = 0; i < n; ++i) x[i] = n == 1 ? 0.7f : -20.f + 40.f * static_cast<float>(i) / static_cast<float>(n - 1);
        std::vector<double> want;
        for (const float value : x) want.push_back(reference::gelu(static_cast<double>(value)));
        for_every_arch([&](auto tag) {
            auto y = x;
            pali::kernels::gelu(tag, y.data(), n);
            for (std::size_t i = 0; i < n; ++i)
                BOOST_TEST(std::abs(y[i] - want[i]) <= 1e-6 * std::max(1., std::abs(want[i])), decltype(tag)::name() << " at " << x[i]);
        });
    }
}

BOOST_AUTO_TEST_CASE(gated_gelu_is_gelu_times_the_other_half) {
    const auto gate = pali::test::random(533, 6, 4.f), up = pali::test::random(533, 7, 4.f);
    for_every_arch([&](auto tag) {
        auto y = gate, single = gate;
        pali::kernels::gated_gelu(tag, y.data(), up.data(), y.size());
        pali::kernels::gelu(tag, single.data(), single.size());
        for (std::size_t i = 0; i < y.size(); ++i) BOOST_TEST(y[i] == single[i] * up[i]);
    });
}

BOOST_AUTO_TEST_CASE(softcap_bites_and_keeps_small_numbers) {
    auto x = pali::test::random(1000, 8, 400.f);
    x[0] = 0.f;
    x[1] = 1e-3f;
    x[2] = 1e6f;
    for (const float cap : {30.f, 50.f}) {
        std::vector<double> want;
        for (const float value : x) want.push_back(reference::softcap(static_cast<double>(value), static_cast<double>(cap)));
        for_every_arch([&](auto tag) {
            auto y = x;
            pali::kernels::softcap(tag, y.data(), y.size(), cap);
            BOOST_TEST(pali::test::difference(y, want) < 3e-7, decltype(tag)::name());
        });
    }
}

BOOST_AUTO_TEST_CASE(rope_turns_halves_as_the_formula_says) {
    for (const std::size_t head_dim : {2u, 18u, 256u}) {
        pali::kernels::rope_table table(head_dim, 10000.f);
        table.extend(10);
        table.extend(4101); // grows without changing existing entries
        for (const std::size_t position : {std::size_t{0}, std::size_t{1}, std::size_t{9}, std::size_t{10}, std::size_t{4100}}) {
            auto head = pali::test::random(head_dim, 9);
            std::vector<double> want(head.begin(), head.end());
            reference::rope(want.data(), head_dim, position, 10000.);
            pali::kernels::rotate(head.data(), table.at(position));
            // float32 angles: at 4100 radians one rounding is 2.4e-4
            BOOST_TEST(pali::test::difference(head, want) < 1e-6 + 1.2e-7 * static_cast<double>(position),
                       "head_dim " << head_dim << " position " << position);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
