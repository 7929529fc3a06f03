// Matrix products against the reference, for every instruction set, storage and awkward size.
#include "numbers.hpp"

#include <pali/kernels/matmul.hpp>
#include <pali/kernels/reference.hpp>

#include <array>
#include <vector>

namespace {

using pali::rows;

template <class Tag, class Element>
pali::aligned_vector<float> product(Tag tag, std::size_t T, std::size_t K, std::size_t N, std::size_t threads, const float* x, const Element* w, const float* bias) {
    pali::thread_pool pool(threads);
    pali::arena scratch;
    pali::aligned_vector<float> y(T * N, -1.f);
    pali::kernels::matmul(tag, rows<const float>(x, T, K), rows<const Element>(w, N, K), bias, rows<float>(y.data(), T, N), pool, scratch);
    return y;
}

// T, K, N: one and many rows, widths inside and across a register pair, columns inside and across a tile and a task
constexpr std::array<std::array<std::size_t, 3>, 12> sizes{
    {{1, 1, 1}, {1, 32, 4}, {1, 33, 65}, {2, 7, 5}, {3, 31, 9}, {4, 64, 64}, {5, 588, 36}, {17, 83, 130}, {33, 144, 3}, {64, 100, 67}, {6, 15, 257}, {1, 2304, 200}}};

template <class Element>
void matches_reference() {
    for (const auto& [T, K, N] : sizes) {
        const auto x = pali::test::random(T * K, 1);
        const auto w = pali::test::random<Element>(N * K, 2);
        const auto bias = pali::test::random(N, 3);
        std::vector<double> want(T * N);
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), rows<const Element>(w.data(), N, K), bias.data(), rows<double>(want.data(), T, N));
        const auto y = [&, T = T, K = K, N = N](auto tag) { return product(tag, T, K, N, 2, x.data(), w.data(), bias.data()); };
        pali::test::for_every_arch([&, T = T, K = K, N = N](auto tag) { // float32 sums of up to 2304 terms
            BOOST_TEST(pali::test::difference(y(tag), want) < 2e-6, decltype(tag)::name() << " T " << T << " K " << K << " N " << N);
        });
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(matmul)

BOOST_AUTO_TEST_CASE(float32_weights_match_reference) { matches_reference<float>(); }
BOOST_AUTO_TEST_CASE(bfloat16_weights_match_reference) { matches_reference<pali::bfloat16>(); }

BOOST_AUTO_TEST_CASE(a_row_alone_has_the_bits_it_has_among_others) {
    constexpr std::size_t T = 23, K = 150, N = 70;
    const auto x = pali::test::random(T * K, 4);
    const auto w = pali::test::random<pali::bfloat16>(N * K, 5);
    const auto together = product(pali::arch::native, T, K, N, 2, x.data(), w.data(), nullptr);
    for (std::size_t t = 0; t < T; ++t) {
        const auto alone = product(pali::arch::native, 1, K, N, 1, x.data() + t * K, w.data(), nullptr);
        BOOST_TEST(alone == std::vector<float>(together.begin() + std::ptrdiff_t(t * N), together.begin() + std::ptrdiff_t((t + 1) * N)), boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(threads_change_nothing) {
    constexpr std::size_t T = 37, K = 96, N = 301;
    const auto x = pali::test::random(T * K, 6);
    const auto w = pali::test::random(N * K, 7);
    const auto one = product(pali::arch::native, T, K, N, 1, x.data(), w.data(), nullptr);
    for (const std::size_t threads : {2u, 3u, 5u}) BOOST_TEST((product(pali::arch::native, T, K, N, threads, x.data(), w.data(), nullptr) == one));
}

BOOST_AUTO_TEST_CASE(nothing_behind_the_last_weight_is_read) {
    // the width ends inside a register pair, and behind the matrix lie numbers that would spoil every sum
    constexpr std::size_t T = 5, K = 41, N = 6;
    const auto x = pali::test::random(T * K, 8);
    auto w = pali::test::random<pali::bfloat16>(N * K + 64, 9);
    for (std::size_t i = N * K; i < w.size(); ++i) w[i] = pali::bfloat16(std::numeric_limits<float>::quiet_NaN());
    for (const float value : product(pali::arch::native, T, K, N, 1, x.data(), w.data(), nullptr)) BOOST_TEST(std::isfinite(value));
}

BOOST_AUTO_TEST_SUITE_END()
