// Quantised weights: their layout, their error, and products with them against the reference.
#include "numbers.hpp"

#include <pali/arch/features.hpp>
#include <pali/kernels/matmul_quantised.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/weights/quantise.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace {

using pali::quantised_rows;
using pali::rows;

template <std::size_t Bits>
struct quantised_matrix {
    quantised_matrix(const pali::aligned_vector<float>& w, std::size_t count, std::size_t width)
        : codes(quantised_rows<Bits>::bytes_of(count * width)), scales(count * width / quantised_rows<Bits>::group), view{codes.data(), scales.data(), count, width} {
        for (std::size_t n = 0; n < count; ++n)
            pali::quantise_row<Bits>(w.data() + n * width, width, codes.data() + quantised_rows<Bits>::bytes_of(n * width), scales.data() + n * width / quantised_rows<Bits>::group);
    }
    std::vector<std::uint8_t> codes;
    std::vector<pali::bfloat16> scales;
    quantised_rows<Bits> view;

    /// What it stands for, by the description of the layout and not by the kernels.
    std::vector<float> values() const {
        std::vector<float> out;
        for (std::size_t n = 0; n < view.count; ++n)
            for (std::size_t k = 0; k < view.width; ++k)
                out.push_back(static_cast<float>(pali::code_at<Bits>(view.codes_of(n), k)) * static_cast<float>(view.scales_of(n)[k / view.group]));
        return out;
    }
};

/// x rounded to bytes, group by group, as it meets the weights.
template <std::size_t Bits>
std::vector<float> rounded(const pali::aligned_vector<float>& x) {
    std::vector<float> out(x.begin(), x.end());
    for (std::size_t at = 0; at < out.size(); at += quantised_rows<Bits>::group) {
        float top = 0;
        for (std::size_t i = 0; i < quantised_rows<Bits>::group; ++i) top = std::max(top, std::abs(out[at + i]));
        for (std::size_t i = 0; i < quantised_rows<Bits>::group && top > 0; ++i) out[at + i] = std::round(out[at + i] * (127.f / top)) * (top / 127.f);
    }
    return out;
}

template <class Dot, std::size_t Bits>
std::vector<float> bytes_product(const pali::aligned_vector<float>& x, const quantised_rows<Bits>& w, const float* bias, std::size_t threads = 2) {
    pali::thread_pool pool(threads);
    pali::arena scratch;
    const std::size_t T = x.size() / w.width;
    std::vector<float> y(T * w.count, -1.f);
    pali::kernels::matmul_of_bytes<Dot>(rows<const float>(x.data(), T, w.width), w, bias, rows<float>(y.data(), T, w.count), pool, scratch);
    return y;
}

// T, K, N: one piece, a register of scales and less or more than one, a released width
constexpr std::array<std::array<std::size_t, 3>, 8> sizes{{{1, 64, 9}, {1, 128, 5}, {2, 192, 65}, {3, 256, 7}, {5, 512, 9}, {7, 576, 130}, {8, 640, 3}, {1, 2304, 70}}};

template <std::size_t Bits>
void matches_reference() {
    for (const auto& [T, K, N] : sizes) {
        const auto x = pali::test::random(T * K, 1);
        const quantised_matrix<Bits> w(pali::test::random(N * K, 2), N, K);
        const auto bias = pali::test::random(N, 3);
        const std::vector<float> values = w.values(), tokens = rounded<Bits>(x);
        std::vector<double> want(T * N), exact(T * N);
        const rows<const float> matrix(values.data(), N, K);
        pali::kernels::reference::matmul(rows<const float>(tokens.data(), T, K), matrix, bias.data(), rows<double>(want.data(), T, N));
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), matrix, bias.data(), rows<double>(exact.data(), T, N));
        const std::string size = " T " + std::to_string(T) + " K " + std::to_string(K) + " N " + std::to_string(N);
        // Sums within a group are exact; the sum over groups is float32.
        const auto portable = bytes_product<pali::kernels::portable_dot>(x, w.view, bias.data());
        BOOST_TEST(pali::test::difference(portable, want) < 2e-6, "portable" << size);
#if defined(__x86_64__)
        if (pali::arch::detected().avx2) BOOST_TEST(pali::test::difference(bytes_product<pali::kernels::avx2_dot>(x, w.view, bias.data()), want) < 2e-6, "avx2" << size);
#endif
        // A token's numbers, below 1, are off by up to half of 1/127, evenly: a deviation of 1/127/sqrt(12) times the length of a row of w; here within five of them.
        for (std::size_t n = 0; n < N; ++n) {
            double length = 0;
            for (std::size_t k = 0; k < K; ++k) length += values[n * K + k] * values[n * K + k];
            for (std::size_t t = 0; t < T; ++t) BOOST_TEST(std::abs(portable[t * N + n] - exact[t * N + n]) < 5 / (127 * std::sqrt(12.)) * std::sqrt(length), "rounding" << size);
        }
        std::vector<pali::bfloat16> close(values.size());
        std::transform(values.begin(), values.end(), close.begin(), [](float value) { return pali::bfloat16(value); });
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), rows<const pali::bfloat16>(close.data(), N, K), bias.data(), rows<double>(want.data(), T, N));
        pali::thread_pool pool(2);
        pali::arena scratch;
        pali::test::for_every_arch([&, T = T, K = K, N = N](auto tag) {
            std::vector<float> y(T * N);
            pali::kernels::matmul_of_panels(tag, rows<const float>(x.data(), T, K), w.view, bias.data(), rows<float>(y.data(), T, N), pool, scratch);
            BOOST_TEST(pali::test::difference(y, want) < 2e-6, "panels " << decltype(tag)::name() << size);
        });
    }
}

template <std::size_t Bits>
double relative_error(const pali::aligned_vector<float>& w, std::size_t width) {
    const std::vector<float> values = quantised_matrix<Bits>(w, w.size() / width, width).values();
    double off = 0, all = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        off += (values[i] - w[i]) * (values[i] - w[i]);
        all += w[i] * w[i];
    }
    return std::sqrt(off / all);
}

template <std::size_t Bits>
void dequantises() {
    const quantised_matrix<Bits> w(pali::test::random(3 * 192, 11), 3, 192);
    const std::vector<float> values = w.values();
    std::vector<float> exact(192);
    std::vector<pali::bfloat16> close(192);
    for (std::size_t n = 0; n < 3; ++n) {
        pali::kernels::read_row(w.view, n, exact.data());
        pali::kernels::read_row(w.view, n, close.data());
        for (std::size_t k = 0; k < 192; ++k) {
            BOOST_TEST(exact[k] == values[n * 192 + k]);
            BOOST_TEST((close[k] == pali::bfloat16(values[n * 192 + k])));
        }
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(matmul_quantised)

BOOST_AUTO_TEST_CASE(int8_weights_match_reference) { matches_reference<8>(); }
BOOST_AUTO_TEST_CASE(int4_weights_match_reference) { matches_reference<4>(); }
BOOST_AUTO_TEST_CASE(rows_come_back) {
    dequantises<8>();
    dequantises<4>();
}

BOOST_AUTO_TEST_CASE(codes_are_where_the_layout_says) {
    // one piece of numbers that are codes already: -8 sets the scale to 1
    pali::aligned_vector<float> x(64);
    for (std::size_t i = 0; i < 64; ++i) x[i] = static_cast<float>(i * 7 % 16) - 8.f;
    const quantised_matrix<4> four(x, 1, 64);
    for (std::size_t j = 0; j < 32; ++j) {
        BOOST_TEST((four.codes[j] & 15) == static_cast<int>(j * 7 % 16));
        BOOST_TEST((four.codes[j] >> 4) == static_cast<int>((j + 32) * 7 % 16));
    }
    x[63] = -127;
    const quantised_matrix<8> eight(x, 1, 64);
    for (std::size_t j = 0; j < 64; ++j) BOOST_TEST(static_cast<std::int8_t>(eight.codes[j]) == static_cast<int>(x[j]));
    BOOST_TEST((eight.scales[0] == pali::bfloat16(1.f) && four.scales[0] == pali::bfloat16(1.f) && four.scales[1] == pali::bfloat16(1.f)));
}

BOOST_AUTO_TEST_CASE(the_error_is_that_of_the_bits) {
    // Uniform numbers in groups: a step of 1/127 of the largest, or about 1/8: steps / sqrt(12), beside a deviation of 1/sqrt(3).
    const auto w = pali::test::random(64 * 256, 12);
    BOOST_TEST(relative_error<8>(w, 256) < 0.0045);
    BOOST_TEST(relative_error<4>(w, 256) < 0.068);
    BOOST_TEST(relative_error<4>(w, 256) > 0.03); // or it would not be 4 bits
}

BOOST_AUTO_TEST_CASE(zeros_and_extremes_are_kept) {
    pali::aligned_vector<float> x(128, 0.f);
    x[70] = 3e38f, x[71] = -3e38f;
    for (const float value : quantised_matrix<8>(x, 1, 128).values()) BOOST_TEST(std::isfinite(value));
    const std::vector<float> four = quantised_matrix<4>(x, 1, 128).values();
    for (std::size_t i = 0; i < 64; ++i) BOOST_TEST(four[i] == 0.f);
    for (const float value : four) BOOST_TEST(std::isfinite(value));
}

BOOST_AUTO_TEST_CASE(the_widest_codes_do_not_overflow) {
    // every product at its largest: -128 · 127, which only a hostile file holds
    std::vector<std::uint8_t> codes(128, 0x80);
    std::vector<pali::bfloat16> scales(2, pali::bfloat16(1.f));
    const quantised_rows<8> w{codes.data(), scales.data(), 1, 128};
    const pali::aligned_vector<float> x(128, 127.f);
    BOOST_TEST(bytes_product<pali::kernels::portable_dot>(x, w, nullptr)[0] == -128.f * 127 * 128);
#if defined(__x86_64__)
    if (pali::arch::detected().avx2) BOOST_TEST(bytes_product<pali::kernels::avx2_dot>(x, w, nullptr)[0] == -128.f * 127 * 128);
#endif
}

BOOST_AUTO_TEST_CASE(a_token_alone_has_the_bits_it_has_among_others_on_any_threads) {
    constexpr std::size_t T = 11, K = 320, N = 70;
    const auto x = pali::test::random(T * K, 4);
    const quantised_matrix<4> w(pali::test::random(N * K, 5), N, K);
    const auto check = [&]<class Dot>(Dot) {
        const std::vector<float> together = bytes_product<Dot>(x, w.view, nullptr, 3);
        for (std::size_t t = 0; t < T; ++t) {
            const pali::aligned_vector<float> one(x.begin() + std::ptrdiff_t(t * K), x.begin() + std::ptrdiff_t((t + 1) * K));
            BOOST_TEST((bytes_product<Dot>(one, w.view, nullptr, 1) == std::vector<float>(together.begin() + std::ptrdiff_t(t * N), together.begin() + std::ptrdiff_t((t + 1) * N))));
        }
    };
    check(pali::kernels::portable_dot{});
#if defined(__x86_64__)
    if (pali::arch::detected().avx2) check(pali::kernels::avx2_dot{});
#endif
}

BOOST_AUTO_TEST_SUITE_END()
