// Compares matrix products with the reference, for every instruction set and weight type, and for odd sizes.
#include "numbers.hpp"

#include <pali/arch/cpu_features.hpp>
#include <pali/kernels/product/dot_bf16_avx512.hpp>
#include <pali/kernels/product/loop_floats.hpp>
#include <pali/kernels/reference.hpp>

#include <array>
#include <initializer_list>
#include <vector>

namespace {

using pali::core::rows;

template <class A, class Element>
void multiply(pali::arch::simd<A>, rows<const float> x, std::initializer_list<pali::kernels::operand<rows<const Element>>> with,
              std::size_t threads) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    pali::kernels::loop_floats<pali::kernels::dot_floats_simd<A, Element>>(x, with, pool, scratch);
}

#if defined(__x86_64__)
struct avx512_bf16 {}; // tag for dot_bf16_avx512

void multiply(avx512_bf16, rows<const float> x, std::initializer_list<pali::kernels::operand<rows<const pali::core::bfloat16>>> with,
              std::size_t threads) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    pali::kernels::loop_floats<pali::kernels::dot_bf16_avx512>(x, with, pool, scratch);
}
#endif

template <class Tag, class Element>
pali::core::aligned_vector<float> product(Tag tag, std::size_t T, std::size_t K, std::size_t N, std::size_t threads, const float* x,
                                          const Element* w, const float* bias) {
    pali::core::aligned_vector<float> y(T * N, -1.f);
    multiply(tag, rows<const float>(x, T, K), {pali::kernels::operand{rows<const Element>(w, N, K), bias, rows<float>(y.data(), T, N)}},
             threads);
    return y;
}

/// Calls f(tag) for each bfloat16 kernel that this CPU supports.
template <class F>
void for_every_bfloat16(F f) {
    f(pali::arch::native);
#if defined(__x86_64__)
    if (pali::arch::detected().avx512_bf16) f(avx512_bf16{});
#endif
}

// T, K, N: one and many rows; widths within and across a register pair; columns within and across a tile and a task. In the last size, rows
// have several K-blocks and there are more rows than the partial sums have room for.
constexpr std::array<std::array<std::size_t, 3>, 15> sizes{{{1, 1, 1},
                                                            {1, 32, 4},
                                                            {1, 33, 65},
                                                            {2, 7, 5},
                                                            {3, 31, 9},
                                                            {4, 64, 64},
                                                            {5, 588, 36},
                                                            {8, 200, 31},
                                                            {15, 96, 100},
                                                            {17, 83, 130},
                                                            {33, 144, 3},
                                                            {64, 100, 67},
                                                            {6, 15, 257},
                                                            {1, 2304, 200},
                                                            {295, 1500, 130}}};

template <class Element>
void matches_reference() {
    for (const auto& [T, K, N] : sizes) {
        const auto x = pali::test::random(T * K, 1);
        const auto w = pali::test::random<Element>(N * K, 2);
        const auto bias = pali::test::random(N, 3);
        std::vector<double> want(T * N);
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), rows<const Element>(w.data(), N, K), bias.data(),
                                         rows<double>(want.data(), T, N));
        const auto y = [&, T = T, K = K, N = N](auto tag) { return product(tag, T, K, N, 2, x.data(), w.data(), bias.data()); };
        pali::test::for_every_arch([&, T = T, K = K, N = N](auto tag) { // float32 sums of up to 2304 terms
            BOOST_TEST(pali::test::difference(y(tag), want) < 2e-6, decltype(tag)::name() << " T " << T << " K " << K << " N " << N);
        });
    }
}

#if defined(__x86_64__)
/// dot_bf16_avx512 and the reference both round x to bfloat16; only the order of float32 sums differs.
void matches_rounded_reference(std::size_t T, std::size_t K, std::size_t N) {
    const auto x = pali::test::random(T * K, 1);
    const auto w = pali::test::random<pali::core::bfloat16>(N * K, 2);
    const auto bias = pali::test::random(N, 3);
    std::vector<float> rounded;
    for (const float value : x) rounded.push_back(static_cast<float>(pali::core::bfloat16(value)));
    std::vector<double> want(T * N);
    pali::kernels::reference::matmul(rows<const float>(rounded.data(), T, K), rows<const pali::core::bfloat16>(w.data(), N, K), bias.data(),
                                     rows<double>(want.data(), T, N));
    BOOST_TEST(pali::test::difference(product(avx512_bf16{}, T, K, N, 2, x.data(), w.data(), bias.data()), want) < 2e-6,
               "T " << T << " K " << K << " N " << N);
}
#endif

} // namespace

BOOST_AUTO_TEST_SUITE(loop_floats)

BOOST_AUTO_TEST_CASE(float32_weights_match_reference) { matches_reference<float>(); }
BOOST_AUTO_TEST_CASE(bfloat16_weights_match_reference) { matches_reference<pali::core::bfloat16>(); }

#if defined(__x86_64__)
BOOST_AUTO_TEST_CASE(avx512_matches_the_reference_of_rounded_activations,
                     *boost::unit_test::precondition([](auto) -> boost::test_tools::assertion_result {
                         return pali::arch::detected().avx512_bf16;
                     })) {
    for (const auto& [T, K, N] : {std::array<std::size_t, 3>{40, 9216, 30}, {8, 4304, 50}, {300, 1152, 25}})
        matches_rounded_reference(T, K, N);
    for (const auto& [T, K, N] : sizes) matches_rounded_reference(T, K, N);
}
#endif

BOOST_AUTO_TEST_CASE(several_matrices_give_the_bits_that_each_gives_alone) {
    constexpr std::size_t T = 9, K = 70;
    const auto x = pali::test::random(T * K, 1), bias = pali::test::random(40, 2);
    const auto w = pali::test::random<pali::core::bfloat16>(40 * K, 3), v = pali::test::random<pali::core::bfloat16>(13 * K, 4);
    pali::core::aligned_vector<float> a(T * 40), b(T * 13);
    for_every_bfloat16([&](auto tag) {
        using pali::kernels::operand;
        multiply(tag, rows<const float>(x.data(), T, K),
                 {operand{rows<const pali::core::bfloat16>(w.data(), 40, K), bias.data(), rows<float>(a.data(), T, 40)},
                  operand{rows<const pali::core::bfloat16>(v.data(), 13, K), nullptr, rows<float>(b.data(), T, 13)}},
                 2);
        BOOST_TEST((a == product(tag, T, K, 40, 1, x.data(), w.data(), bias.data())));
        BOOST_TEST((b == product(tag, T, K, 13, 1, x.data(), v.data(), nullptr)));
    });
}

BOOST_AUTO_TEST_CASE(a_row_alone_has_the_bits_it_has_among_others) {
    // K larger than one K-block; T: tiles of six, four, two and one, and eight rows
    constexpr std::size_t K = 2350, N = 70;
    for_every_bfloat16([](auto tag) {
        for (const std::size_t T : {8u, 23u, 290u}) {
            const auto x = pali::test::random(T * K, 4);
            const auto w = pali::test::random<pali::core::bfloat16>(N * K, 5);
            const auto together = product(tag, T, K, N, 2, x.data(), w.data(), nullptr);
            for (std::size_t t = 0; t < T; ++t) {
                const auto alone = product(tag, 1, K, N, 1, x.data() + t * K, w.data(), nullptr);
                BOOST_TEST((alone == pali::core::aligned_vector<float>(together.begin() + std::ptrdiff_t(t * N),
                                                                       together.begin() + std::ptrdiff_t((t + 1) * N))),
                           "row " << t);
            }
        }
    });
}

BOOST_AUTO_TEST_CASE(threads_change_nothing) {
    constexpr std::size_t T = 37, K = 96, N = 301;
    const auto x = pali::test::random(T * K, 6);
    const auto w = pali::test::random<pali::core::bfloat16>(N * K, 7);
    for_every_bfloat16([&](auto tag) {
        const auto one = product(tag, T, K, N, 1, x.data(), w.data(), nullptr);
        for (const std::size_t threads : {2u, 3u, 5u}) BOOST_TEST((product(tag, T, K, N, threads, x.data(), w.data(), nullptr) == one));
    });
}

BOOST_AUTO_TEST_CASE(nothing_behind_the_last_weight_is_read) {
    // the width ends inside a register pair; the values after the matrix would spoil every sum if they were read
    constexpr std::size_t T = 5, K = 41, N = 6;
    const auto x = pali::test::random(T * K, 8);
    auto w = pali::test::random<pali::core::bfloat16>(N * K + 64, 9);
    for (std::size_t i = N * K; i < w.size(); ++i) w[i] = pali::core::bfloat16(std::numeric_limits<float>::quiet_NaN());
    for_every_bfloat16([&](auto tag) {
        for (const float value : product(tag, T, K, N, 1, x.data(), w.data(), nullptr)) BOOST_TEST(std::isfinite(value));
    });
}

BOOST_AUTO_TEST_SUITE_END()
