// Quantized weights: their layout, the quantization error, and products compared with the reference.
#include "numbers.hpp"

#include <pali/arch/cpu_features.hpp>
#include <pali/kernels/product/dot_bytes_avx512.hpp>
#include <pali/kernels/product/loop_bytes.hpp>
#include <pali/kernels/product/quantize_strip.hpp>
#include <pali/kernels/product/read_row.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/weights/quantize.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace {

using pali::core::quantized_rows;
using pali::core::rows;

template <std::size_t Bits>
struct quantized_matrix {
    quantized_matrix(const pali::core::aligned_vector<float>& w, std::size_t count, std::size_t width)
        : codes(quantized_rows<Bits>::bytes_of(count * width)), scales(count * width / quantized_rows<Bits>::group),
          view{codes.data(), scales.data(), count, width} {
        for (std::size_t n = 0; n < count; n += view.strip)
            pali::kernels::quantize_strip<Bits>(w.data() + n * width, width, codes.data() + view.bytes_of(n * width),
                                                scales.data() + n * width / view.group);
    }
    std::vector<std::uint8_t> codes;
    std::vector<pali::core::bfloat16> scales;
    quantized_rows<Bits> view;

    /// The dequantized values, computed from the description of the layout and not by the kernels.
    std::vector<float> values() const {
        std::vector<float> out;
        for (std::size_t n = 0; n < view.count; ++n)
            for (std::size_t k = 0; k < view.width; ++k) out.push_back(static_cast<float>(view.code(n, k)) * view.scale(n, k));
        return out;
    }
};

/// x rounded to int8 per group, as the kernels do.
template <std::size_t Bits>
std::vector<float> rounded(const pali::core::aligned_vector<float>& x) {
    std::vector<float> out(x.begin(), x.end());
    for (std::size_t at = 0; at < out.size(); at += quantized_rows<Bits>::group) {
        float top = 0;
        for (std::size_t i = 0; i < quantized_rows<Bits>::group; ++i) top = std::max(top, std::abs(out[at + i]));
        for (std::size_t i = 0; i < quantized_rows<Bits>::group && top > 0; ++i)
            out[at + i] = std::round(out[at + i] * (127.f / top)) * (top / 127.f);
    }
    return out;
}

template <class Dot, std::size_t Bits>
std::vector<float> bytes_product(const pali::core::aligned_vector<float>& x, const quantized_rows<Bits>& w, const float* bias,
                                 std::size_t threads = 2) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    const std::size_t T = x.size() / w.width;
    std::vector<float> y(T * w.count, -1.f);
    pali::kernels::loop_bytes<Dot>(rows<const float>(x.data(), T, w.width),
                                   {pali::kernels::operand{w, bias, rows<float>(y.data(), T, w.count)}}, pool, scratch);
    return y;
}

/// Calls f(dot, name) for the portable kernel and each kernel that this CPU supports.
template <class F>
void for_every_dot(F f) {
    f(pali::kernels::dot_bytes_portable{}, "portable");
#if defined(__x86_64__)
    const pali::arch::features& there = pali::arch::detected();
    if (there.avx2) f(pali::kernels::dot_bytes_avx2{}, "avx2");
    if (there.avx_vnni) f(pali::kernels::dot_bytes_vnni{}, "avx_vnni");
    if (there.avx512_vnni) f(pali::kernels::dot_bytes_avx512{}, "avx512_vnni");
    if (there.avx512_vnni) f(pali::kernels::dot_bytes_avx512_token{}, "avx512_vnni, one token");
#endif
}

// T, K, N: one group and one strip, several, tasks of 64 columns and remainders, a released width; an odd number of groups for 4 bits
constexpr std::array<std::array<std::size_t, 3>, 11> sizes{{{1, 64, 8},
                                                            {1, 128, 24},
                                                            {2, 192, 72},
                                                            {3, 256, 8},
                                                            {5, 512, 16},
                                                            {7, 576, 136},
                                                            {8, 640, 64},
                                                            {1, 2304, 80},
                                                            {1, 32, 8},
                                                            {1, 96, 16},
                                                            {3, 160, 72}}};

template <std::size_t Bits>
void matches_reference() {
    for (const auto& [T, K, N] : sizes) {
        if (K % quantized_rows<Bits>::group != 0) continue;
        const auto x = pali::test::random(T * K, 1);
        const quantized_matrix<Bits> w(pali::test::random(N * K, 2), N, K);
        const auto bias = pali::test::random(N, 3);
        const std::vector<float> values = w.values(), tokens = rounded<Bits>(x);
        std::vector<double> want(T * N), exact(T * N);
        const rows<const float> matrix(values.data(), N, K);
        pali::kernels::reference::matmul(rows<const float>(tokens.data(), T, K), matrix, bias.data(), rows<double>(want.data(), T, N));
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), matrix, bias.data(), rows<double>(exact.data(), T, N));
        const std::string size = " T " + std::to_string(T) + " K " + std::to_string(K) + " N " + std::to_string(N);
        // Sums within a group are exact; the sum over groups is float32.
        for_every_dot([&]<class Dot>(Dot, const char* name) {
            BOOST_TEST(pali::test::difference(bytes_product<Dot>(x, w.view, bias.data()), want) < 2e-6, name << size);
        });
        const auto portable = bytes_product<pali::kernels::dot_bytes_portable>(x, w.view, bias.data());
        // An activation, below 1, has a rounding error of up to 0.5/127, uniformly distributed: standard deviation 1/127/sqrt(12) times the
        // norm of a row of w. The limit is five standard deviations.
        for (std::size_t n = 0; n < N; ++n) {
            double length = 0;
            for (std::size_t k = 0; k < K; ++k) length += values[n * K + k] * values[n * K + k];
            for (std::size_t t = 0; t < T; ++t)
                BOOST_TEST(std::abs(portable[t * N + n] - exact[t * N + n]) < 5 / (127 * std::sqrt(12.)) * std::sqrt(length),
                           "rounding" << size);
        }
        std::vector<pali::core::bfloat16> close(values.size());
        std::transform(values.begin(), values.end(), close.begin(), [](float value) { return pali::core::bfloat16(value); });
        pali::kernels::reference::matmul(rows<const float>(x.data(), T, K), rows<const pali::core::bfloat16>(close.data(), N, K),
                                         bias.data(), rows<double>(want.data(), T, N));
        pali::core::thread_pool pool(2);
        pali::core::arena scratch;
        pali::test::for_every_arch([&, T = T, K = K, N = N](auto tag) {
            std::vector<float> y(T * N);
            pali::kernels::loop_panels(tag, rows<const float>(x.data(), T, K),
                                       {pali::kernels::operand{w.view, bias.data(), rows<float>(y.data(), T, N)}}, pool, scratch);
            BOOST_TEST(pali::test::difference(y, want) < 2e-6, "panels " << decltype(tag)::name() << size);
        });
    }
}

template <std::size_t Bits>
double relative_error(const pali::core::aligned_vector<float>& w, std::size_t width) {
    const std::vector<float> values = quantized_matrix<Bits>(w, w.size() / width, width).values();
    double off = 0, all = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        off += (values[i] - w[i]) * (values[i] - w[i]);
        all += w[i] * w[i];
    }
    return std::sqrt(off / all);
}

template <std::size_t Bits>
void dequantizes() {
    using matrix = pali::core::quantized_rows<Bits>;
    const quantized_matrix<Bits> w(pali::test::random(24 * 192, 11), 24, 192);
    const std::vector<float> values = w.values();
    std::vector<float> exact(192);
    for (std::size_t n = 0; n < 24; ++n) {
        pali::kernels::read_row(w.view, n, exact.data());
        for (std::size_t k = 0; k < 192; ++k) BOOST_TEST(exact[k] == values[n * 192 + k]);
    }
    std::vector<std::uint8_t> moved(w.view.codes, w.view.codes + matrix::strip * matrix::bytes_of(192) * 3); // not aligned to a register
    moved.insert(moved.begin(), 8, 0);
    auto view = w.view;
    view.codes = moved.data() + 8;
    const auto strips_are_close = [&](auto&& read_strip) {
        for (std::size_t i = 0; i < 3; ++i)
            for (const auto& [begin, width] : {std::pair<std::size_t, std::size_t>{0, 192}, {64, 128}, {128, 64}}) {
                std::vector<pali::core::bfloat16> close(8 * 200, pali::core::bfloat16(-7.f));
                read_strip(view, i, begin, pali::core::rows(close.data(), 8, width, 200));
                for (std::size_t n = 0; n < 8; ++n)
                    for (std::size_t k = 0; k < 200; ++k)
                        BOOST_TEST(close[n * 200 + k].bits ==
                                   pali::core::bfloat16(k < width ? values[(8 * i + n) * 192 + begin + k] : -7.f).bits);
            }
    };
    strips_are_close([](auto&&... of) { pali::kernels::read_strip(of...); });
    if (pali::arch::detected().avx2) strips_are_close([](auto&&... of) { pali::kernels::read_strip_avx2(of...); });
}

} // namespace

BOOST_AUTO_TEST_SUITE(loop_bytes)

BOOST_AUTO_TEST_CASE(int8_weights_match_reference) { matches_reference<8>(); }
BOOST_AUTO_TEST_CASE(int4_weights_match_reference) { matches_reference<4>(); }

BOOST_AUTO_TEST_CASE(several_matrices_give_the_bits_that_each_gives_alone) {
    constexpr std::size_t T = 9, K = 192;
    const auto x = pali::test::random(T * K, 1), bias = pali::test::random(40, 2);
    const quantized_matrix<4> w(pali::test::random(40 * K, 3), 40, K), v(pali::test::random(16 * K, 4), 16, K);
    pali::core::thread_pool pool(2);
    pali::core::arena scratch;
    for_every_dot([&](auto dot, const char* name) {
        using pali::kernels::operand;
        std::vector<float> a(T * 40), b(T * 16);
        pali::kernels::loop_bytes<decltype(dot)>(
            rows<const float>(x.data(), T, K),
            {operand{w.view, bias.data(), rows<float>(a.data(), T, 40)}, operand{v.view, nullptr, rows<float>(b.data(), T, 16)}}, pool,
            scratch);
        BOOST_TEST((a == bytes_product<decltype(dot)>(x, w.view, bias.data())), name);
        BOOST_TEST((b == bytes_product<decltype(dot)>(x, v.view, nullptr)), name);
    });
}

BOOST_AUTO_TEST_CASE(rows_come_back) {
    dequantizes<8>();
    dequantizes<4>();
}

BOOST_AUTO_TEST_CASE(codes_are_where_the_layout_says) {
    // Integer values that equal their codes: one -8 or -127 in every group makes the scale 1.
    const auto number = [](std::size_t r, std::size_t k) { return static_cast<int>((3 * r + k * 7) % 16) - 8; };
    pali::core::aligned_vector<float> x(8 * 64);
    for (std::size_t r = 0; r < 8; ++r)
        for (std::size_t k = 0; k < 64; ++k) x[r * 64 + k] = static_cast<float>(number(r, k));
    const quantized_matrix<4> four(x, 8, 64);
    for (std::size_t g = 0; g < 2; ++g)
        for (std::size_t j = 0; j < 128; ++j) { // byte j of a group: row (j / 4) mod 8, elements e = 4 · (j / 32) + j mod 4 and e + 16
            const std::size_t r = j / 4 % 8, k = g * 32 + j / 32 * 4 + j % 4;
            BOOST_TEST((four.codes[g * 128 + j] & 15) - 8 == number(r, k));
            BOOST_TEST((four.codes[g * 128 + j] >> 4) - 8 == number(r, k + 16));
        }
    for (std::size_t r = 0; r < 8; ++r) x[r * 64 + 63] = -127;
    const quantized_matrix<8> eight(x, 8, 64);
    for (std::size_t j = 0; j < 512; ++j)
        BOOST_TEST(static_cast<std::int8_t>(eight.codes[j]) == static_cast<int>(x[j / 4 % 8 * 64 + j / 32 * 4 + j % 4]));
    for (const pali::core::bfloat16 scale : eight.scales) BOOST_TEST(static_cast<float>(scale) == 1.f);
    for (const pali::core::bfloat16 scale : four.scales) BOOST_TEST(static_cast<float>(scale) == 1.f);

    // Scales: eight rows of a group, then the next group.
    for (std::size_t r = 0; r < 8; ++r)
        for (std::size_t k = 0; k < 64; ++k)
            x[r * 64 + k] = std::ldexp(static_cast<float>(number(r, k)), static_cast<int>(r + (k < 32 ? 0 : 8)));
    const quantized_matrix<4> scaled(x, 8, 64);
    for (std::size_t i = 0; i < 16; ++i) BOOST_TEST(static_cast<float>(scaled.scales[i]) == std::ldexp(1.f, static_cast<int>(i)));
}

BOOST_AUTO_TEST_CASE(the_error_is_that_of_the_bits) {
    // Uniform values in groups: a step of 1/127 of the maximum, or about 1/8. The error is step / sqrt(12); the standard deviation of the
    // values is 1/sqrt(3).
    const auto w = pali::test::random(64 * 256, 12);
    BOOST_TEST(relative_error<8>(w, 256) < 0.0045);
    BOOST_TEST(relative_error<4>(w, 256) < 0.068);
    BOOST_TEST(relative_error<4>(w, 256) > 0.03); // a smaller error would mean more than 4 bits
}

BOOST_AUTO_TEST_CASE(zeros_and_extremes_are_kept) {
    pali::core::aligned_vector<float> x(8 * 128, 0.f);
    x[70] = 3e38f, x[71] = -3e38f;
    for (const float value : quantized_matrix<8>(x, 8, 128).values()) BOOST_TEST(std::isfinite(value));
    const std::vector<float> four = quantized_matrix<4>(x, 8, 128).values();
    for (std::size_t i = 0; i < 64; ++i) BOOST_TEST(four[i] == 0.f);
    for (const float value : four) BOOST_TEST(std::isfinite(value));
}

BOOST_AUTO_TEST_CASE(the_widest_codes_do_not_overflow) {
    // all products at their maximum: -128 · 127, which only a malicious file contains, and -8 · 127 and 7 · 127
    const pali::core::aligned_vector<float> x(128, 127.f);
    const auto check = [&]<std::size_t Bits>(std::uint8_t byte, int code, std::integral_constant<std::size_t, Bits>) {
        std::vector<std::uint8_t> codes(8 * 128 * Bits / 8, byte);
        std::vector<pali::core::bfloat16> scales(8 * 128 / quantized_rows<Bits>::group, pali::core::bfloat16(1.f));
        const quantized_rows<Bits> w{codes.data(), scales.data(), 8, 128};
        const float want = static_cast<float>(code) * 127.f * 128.f;
        for_every_dot([&]<class Dot>(Dot, const char* name) {
            for (const float y : bytes_product<Dot>(x, w, nullptr)) BOOST_TEST(y == want, name);
        });
    };
    check(0x80, -128, std::integral_constant<std::size_t, 8>{});
    check(0x00, -8, std::integral_constant<std::size_t, 4>{});
    check(0xff, 7, std::integral_constant<std::size_t, 4>{});
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_shows_in_its_token_and_in_no_other) {
    constexpr std::size_t T = 9, K = 256, N = 16;
    const auto check = [&]<std::size_t Bits>(std::integral_constant<std::size_t, Bits>) {
        const quantized_matrix<Bits> w(pali::test::random(N * K, 5), N, K);
        for (const float stray :
             {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
            for (const std::size_t at : {0u, 37u, 255u}) {
                auto x = pali::test::random(T * K, 4);
                x[4 * K + at] = stray;
                for_every_dot([&]<class Dot>(Dot, const char* name) {
                    const std::vector<float> y = bytes_product<Dot>(x, w.view, nullptr);
                    for (std::size_t t = 0; t < T; ++t)
                        for (std::size_t n = 0; n < N; ++n) BOOST_TEST(std::isfinite(y[t * N + n]) == (t != 4), name << ", token " << t);
                });
            }
        const pali::core::aligned_vector<float> tiny(K, 1e-40f); // their inverse overflows float
        for_every_dot([&]<class Dot>(Dot, const char* name) {
            for (const float y : bytes_product<Dot>(tiny, w.view, nullptr)) BOOST_TEST(y == 0.f, name);
        });
    };
    check(std::integral_constant<std::size_t, 8>{});
    check(std::integral_constant<std::size_t, 4>{});
}

BOOST_AUTO_TEST_CASE(a_token_alone_has_the_bits_it_has_among_others_on_any_threads) {
    constexpr std::size_t T = 11, K = 320, N = 72;
    const auto x = pali::test::random(T * K, 4);
    const quantized_matrix<4> w(pali::test::random(N * K, 5), N, K);
    for_every_dot([&]<class Dot>(Dot, const char* name) {
        const std::vector<float> together = bytes_product<Dot>(x, w.view, nullptr, 3);
        for (std::size_t t = 0; t < T; ++t) {
            const pali::core::aligned_vector<float> one(x.begin() + std::ptrdiff_t(t * K), x.begin() + std::ptrdiff_t((t + 1) * K));
            BOOST_TEST((bytes_product<Dot>(one, w.view, nullptr, 1) ==
                        std::vector<float>(together.begin() + std::ptrdiff_t(t * N), together.begin() + std::ptrdiff_t((t + 1) * N))),
                       name);
        }
    });
}

#if defined(__x86_64__)
BOOST_AUTO_TEST_CASE(intrinsics_agree_to_the_bit) { // so a single token may use a different kernel than many tokens
    const auto check = []<std::size_t Bits>(std::integral_constant<std::size_t, Bits>) {
        const auto x = pali::test::random(9 * 320, 6);
        const quantized_matrix<Bits> w(pali::test::random(72 * 320, 7), 72, 320);
        std::vector<float> first;
        for_every_dot([&]<class Dot>(Dot, const std::string& name) {
            if (name == "portable") return; // its multiply-adds are not fused
            const std::vector<float> y = bytes_product<Dot>(x, w.view, nullptr);
            if (first.empty()) first = y;
            BOOST_TEST((y == first), name);
        });
    };
    check(std::integral_constant<std::size_t, 8>{});
    check(std::integral_constant<std::size_t, 4>{});
}
#endif

BOOST_AUTO_TEST_SUITE_END()
