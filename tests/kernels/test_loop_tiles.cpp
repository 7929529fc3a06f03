// Matrix products by AMX tiles: tests the kernel with emulated tiles on any CPU with AVX2, and compares the CPU's own tiles with them.
#include "emulated_tiles.hpp"
#include "numbers.hpp"

#include <pali/arch/cpu_features.hpp>
#include <pali/kernels/product/loop_tiles.hpp>
#include <pali/kernels/reference.hpp>

#include <array>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <ostream>
#include <thread>
#include <vector>

namespace {

using pali::core::bfloat16;
using pali::core::rows;
using pali::test::emulated_tiles;

/// Weights stored as int8 with one scale per row, decoded on demand. Detects whether two threads share a decode buffer.
struct byte_panels {
    rows<const std::int8_t> codes;
    const float* scales;
    std::map<bfloat16*, std::thread::id>* users = nullptr;
    std::atomic<bool>* shared = nullptr;

    std::size_t count() const { return codes.count; }
    std::size_t width() const { return codes.width; }
    rows<const bfloat16> panel(std::size_t first, std::size_t begin, rows<bfloat16> to) const {
        if (users) {
            static std::mutex one_at_a_time;
            const std::lock_guard lock(one_at_a_time);
            if (users->emplace(to.data, std::this_thread::get_id()).first->second != std::this_thread::get_id()) *shared = true;
        }
        for (std::size_t i = 0; i < to.count; ++i)
            for (std::size_t k = 0; k < to.width; ++k)
                to[i][k] = bfloat16(scales[first + i] * static_cast<float>(codes[first + i][begin + k]));
        return to;
    }
};

/// bfloat16 rows used in place, and int8 rows decoded.
constexpr struct {
    pali::kernels::stored_panels operator()(const rows<const bfloat16>& w) const { return {w}; }
    byte_panels operator()(const byte_panels& w) const { return w; }
} panels_of;

struct problem {
    std::size_t T, K, N;
    friend std::ostream& operator<<(std::ostream& out, const problem& p) { return out << "T " << p.T << " K " << p.K << " N " << p.N; }
};

/// T: within and across a tile and a block of two tiles, with every size of the last block, and more tokens than one pass. K: below, at and
/// across a step, with and without a remainder, in one K-block and in several, and the widths of the networks. N: one output, one below and
/// above a tile, one above a panel, several tasks.
std::vector<problem> problems() {
    std::vector<problem> all{{530, 1401, 40}, {264, 588, 130}, {264, 2304, 33}, {49, 4304, 40}, {20, 9216, 70},
                             {1, 40, 16},     {5, 7, 3},       {32, 64, 32},    {48, 31, 64},   {34, 2304, 1000}};
    for (const std::size_t T : {16u, 17u, 33u})
        for (const std::size_t K : {32u, 48u, 100u, 588u, 2304u})
            for (const std::size_t N : {1u, 15u, 16u, 33u, 130u}) all.push_back({T, K, N});
    return all;
}

template <class Tiles, class Weights>
pali::core::aligned_vector<float> product(Tiles tiles, const problem& p, const float* x, const Weights& w, const float* bias,
                                          std::size_t threads = 2) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    pali::core::aligned_vector<float> y(p.T * p.N, -1.f);
    pali::kernels::loop_tiles(tiles, rows<const float>(x, p.T, p.K), {pali::kernels::operand{w, bias, rows<float>(y.data(), p.T, p.N)}},
                              panels_of, pool, scratch);
    return y;
}

struct inputs {
    pali::core::aligned_vector<float> x, bias;
    std::vector<bfloat16> w; // no padding

    inputs(const problem& p, unsigned seed) : x(pali::test::random(p.T * p.K, seed)), bias(pali::test::random(p.N, seed + 1)) {
        const auto numbers = pali::test::random<bfloat16>(p.N * p.K, seed + 2);
        w.assign(numbers.begin(), numbers.end());
    }
    rows<const bfloat16> weights(const problem& p) const { return {w.data(), p.N, p.K}; }
};

/// The reference in double, with x rounded to bfloat16 as the tiles do.
std::vector<double> wanted(const problem& p, const inputs& in) {
    pali::core::aligned_vector<float> x = in.x;
    for (float& value : x) value = static_cast<float>(bfloat16(value));
    std::vector<double> want(p.T * p.N);
    pali::kernels::reference::matmul(rows<const float>(x.data(), p.T, p.K), in.weights(p), in.bias.data(),
                                     rows<double>(want.data(), p.T, p.N));
    return want;
}

/// Products of bfloat16 are exact in float32, so only the sums are rounded: sums of 16 terms within a step, and of K / 32 steps. Each is
/// rounded to 2^-24 of the partial sum. Errors grow like a random walk, about 2^-24 · sqrt(K / 32) of the largest sum: 1e-6 for K = 9216.
constexpr double rounding = 2e-6;

} // namespace

BOOST_AUTO_TEST_SUITE(loop_tiles, *boost::unit_test::precondition(pali::test::has_avx2))

BOOST_AUTO_TEST_CASE(matches_reference) {
    for (const problem& p : problems()) {
        const inputs in(p, 1);
        const auto y = product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data());
        BOOST_TEST(pali::test::difference(y, wanted(p, in)) < rounding, p);
    }
    BOOST_TEST(emulated_tiles::faults == 0);
    BOOST_TEST(emulated_tiles::held == 0);
}

BOOST_AUTO_TEST_CASE(without_a_bias_nothing_is_added) {
    const problem p{17, 100, 33};
    const inputs in(p, 4);
    auto y = product(emulated_tiles{}, p, in.x.data(), in.weights(p), nullptr);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += in.bias[i % p.N];
    BOOST_TEST((y == product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data())));
}

BOOST_AUTO_TEST_CASE(threads_change_nothing) {
    for (const problem& p : {problem{37, 96, 301}, problem{100, 588, 1030}}) { // more panels than one task
        const inputs in(p, 7);
        const auto one = product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data(), 1);
        for (const std::size_t threads : {2u, 3u, 5u})
            BOOST_TEST((product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data(), threads) == one),
                       p << " threads " << threads);
    }
    BOOST_TEST(emulated_tiles::held == 0);
}

BOOST_AUTO_TEST_CASE(a_row_alone_has_the_bits_it_has_among_others) {
    const problem p{35, 150, 70};
    const inputs in(p, 10);
    const auto together = product(emulated_tiles{}, p, in.x.data(), in.weights(p), nullptr);
    for (std::size_t t = 0; t < p.T; ++t) {
        const auto alone = product(emulated_tiles{}, {1, p.K, p.N}, in.x.data() + t * p.K, in.weights(p), nullptr);
        BOOST_TEST((std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(t * p.N))), "row " << t);
    }
}

BOOST_AUTO_TEST_CASE(nothing_behind_the_last_weight_is_read) {
    // the last step, tile and panel are partial; the values after each row and after the matrix would spoil every sum if they were read
    for (const problem& p : {problem{33, 41, 6}, problem{16, 100, 49}, problem{20, 31, 17}}) {
        const inputs in(p, 13);
        const std::size_t stride = p.K + 9;
        std::vector<bfloat16> apart(p.N * stride + 2000, bfloat16(std::numeric_limits<float>::quiet_NaN()));
        for (std::size_t n = 0; n < p.N; ++n) std::copy_n(in.w.data() + n * p.K, p.K, apart.data() + n * stride);
        const auto y = product(emulated_tiles{}, p, in.x.data(), rows<const bfloat16>(apart.data(), p.N, p.K, stride), in.bias.data());
        BOOST_TEST((y == product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data())), p);
    }
}

BOOST_AUTO_TEST_CASE(several_matrices_give_the_bits_that_each_gives_alone) {
    const problem wide{35, 70, 50}, narrow{35, 70, 17};
    const inputs in(wide, 16), other(narrow, 17);
    pali::core::thread_pool threads(2);
    pali::core::arena scratch;
    pali::core::aligned_vector<float> a(wide.T * wide.N), b(narrow.T * narrow.N);
    pali::kernels::loop_tiles(emulated_tiles{}, rows<const float>(in.x.data(), wide.T, wide.K),
                              {pali::kernels::operand{in.weights(wide), in.bias.data(), rows<float>(a.data(), wide.T, wide.N)},
                               pali::kernels::operand{other.weights(narrow), nullptr, rows<float>(b.data(), narrow.T, narrow.N)}},
                              panels_of, threads, scratch);
    BOOST_TEST((a == product(emulated_tiles{}, wide, in.x.data(), in.weights(wide), in.bias.data())));
    BOOST_TEST((b == product(emulated_tiles{}, narrow, in.x.data(), other.weights(narrow), nullptr)));
}

BOOST_AUTO_TEST_CASE(rows_of_x_and_y_may_be_apart) {
    const problem p{35, 70, 50};
    const inputs in(p, 16);
    const std::size_t x_stride = p.K + 3, y_stride = p.N + 5;
    std::vector<float> x(p.T * x_stride, std::numeric_limits<float>::quiet_NaN()), y(p.T * y_stride, -7.f);
    for (std::size_t t = 0; t < p.T; ++t) std::copy_n(in.x.data() + t * p.K, p.K, x.data() + t * x_stride);
    pali::core::thread_pool threads(2);
    pali::core::arena scratch;
    pali::kernels::loop_tiles(emulated_tiles{}, rows<const float>(x.data(), p.T, p.K, x_stride),
                              {pali::kernels::operand{in.weights(p), in.bias.data(), rows<float>(y.data(), p.T, p.N, y_stride)}}, panels_of,
                              threads, scratch);
    const auto want = product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data());
    for (std::size_t t = 0; t < p.T; ++t)
        for (std::size_t n = 0; n < y_stride; ++n) BOOST_TEST(y[t * y_stride + n] == (n < p.N ? want[t * p.N + n] : -7.f));
}

BOOST_AUTO_TEST_CASE(weights_may_be_decoded_for_each_panel) {
    for (const problem& p : {problem{33, 100, 130}, problem{40, 300, 1030}, problem{530, 1401, 70}}) {
        const inputs in(p, 19);
        std::vector<std::int8_t> codes(p.N * p.K);
        for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(i * 37 % 255 - 127);
        std::vector<bfloat16> decoded(codes.size());
        byte_panels source{{codes.data(), p.N, p.K}, in.bias.data()};
        source.panel(0, 0, {decoded.data(), p.N, p.K});
        const auto want = product(emulated_tiles{}, p, in.x.data(), rows<const bfloat16>(decoded.data(), p.N, p.K), nullptr);
        for (const std::size_t threads : {1u, 3u}) {
            std::map<bfloat16*, std::thread::id> users;
            std::atomic<bool> shared{false};
            source.users = &users;
            source.shared = &shared;
            BOOST_TEST((product(emulated_tiles{}, p, in.x.data(), source, nullptr, threads) == want), p << " threads " << threads);
            BOOST_TEST(!shared, p << " threads " << threads);
        }
    }
}

BOOST_AUTO_TEST_CASE(an_infinite_number_stays_in_its_row) {
    // The last step is padded with zeros. If an infinity of the previous step were left there, its product with the padding of the weights
    // would be NaN.
    constexpr std::size_t odd = 1, at = 20;
    const problem p{17, 48, 33};
    inputs in(p, 24);
    in.x[odd * p.K + at] = std::numeric_limits<float>::infinity();
    const auto y = product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data());
    for (std::size_t t = 0; t < p.T; ++t)
        for (std::size_t n = 0; n < p.N; ++n) {
            if (t != odd) BOOST_TEST(std::isfinite(y[t * p.N + n]));
            else BOOST_TEST(y[t * p.N + n] == std::numeric_limits<float>::infinity() * static_cast<float>(in.w[n * p.K + at]));
        }
}

BOOST_AUTO_TEST_CASE(no_rows_no_outputs_and_no_inputs_are_products_too) {
    const inputs in({16, 16, 16}, 21);
    BOOST_TEST(product(emulated_tiles{}, {0, 16, 16}, in.x.data(), in.weights({0, 16, 16}), in.bias.data()).empty());
    BOOST_TEST(product(emulated_tiles{}, {16, 16, 0}, in.x.data(), in.weights({16, 16, 0}), in.bias.data()).empty());
    const auto y = product(emulated_tiles{}, {16, 0, 16}, in.x.data(), in.weights({16, 0, 16}), in.bias.data());
    for (std::size_t i = 0; i < y.size(); ++i) BOOST_TEST(y[i] == in.bias[i % 16]);
}

#if defined(__x86_64__)
BOOST_AUTO_TEST_SUITE(of_the_processor, *boost::unit_test::precondition(pali::test::has_tiles))

BOOST_AUTO_TEST_CASE(whole_numbers_have_the_bits_of_the_emulation) {
    // sums below 2^24 are exact in any order, so this tests the position of every element without rounding
    for (const problem& p : problems()) {
        inputs in(p, 27);
        for (float& value : in.x) value = std::round(8 * value);
        for (bfloat16& value : in.w) value = bfloat16(std::round(8 * static_cast<float>(value)));
        BOOST_TEST((product(pali::arch::amx_tiles{}, p, in.x.data(), in.weights(p), in.bias.data()) ==
                    product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data())),
                   p);
    }
}

BOOST_AUTO_TEST_CASE(matches_reference) {
    for (const problem& p : problems()) {
        const inputs in(p, 30);
        const auto y = product(pali::arch::amx_tiles{}, p, in.x.data(), in.weights(p), in.bias.data());
        BOOST_TEST(pali::test::difference(y, wanted(p, in)) < rounding, p);
        // The manual defines the order of sums, so the bits should be equal. A CPU that rounds differently causes a warning, not an error.
        BOOST_WARN_MESSAGE(y == product(emulated_tiles{}, p, in.x.data(), in.weights(p), in.bias.data()),
                           p << ": sums are rounded otherwise than in the manual");
    }
}

BOOST_AUTO_TEST_CASE(threads_change_nothing) {
    const problem p{100, 588, 1030};
    const inputs in(p, 33);
    const auto one = product(pali::arch::amx_tiles{}, p, in.x.data(), in.weights(p), in.bias.data(), 1);
    for (const std::size_t threads : {2u, 3u, 5u})
        BOOST_TEST((product(pali::arch::amx_tiles{}, p, in.x.data(), in.weights(p), in.bias.data(), threads) == one));
}

BOOST_AUTO_TEST_SUITE_END()
#endif

BOOST_AUTO_TEST_SUITE_END()
