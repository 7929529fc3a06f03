// Compares the parts of a softmax with the formula, for every instruction set.
#include "numbers.hpp"

#include <pali/kernels/pointwise/softmax.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(), not_a_number = std::numeric_limits<float>::quiet_NaN();

} // namespace

BOOST_AUTO_TEST_SUITE(softmax)

BOOST_AUTO_TEST_CASE(the_largest_is_the_first_of_equals_and_the_first_nan_before_all) {
    pali::test::for_every_arch([](auto tag) {
        const auto place = [&](const pali::core::aligned_vector<float>& x) { return pali::kernels::argmax(tag, x.data(), x.size()); };
        BOOST_TEST(place({}) == 0u);
        for (const std::size_t n : {1u, 7u, 16u, 33u, 1000u}) {
            const auto x = pali::test::random(n, static_cast<unsigned>(n));
            for (std::size_t at = 0; at < n; at += 1 + n / 9) {
                auto y = x;
                y[at] = 2;
                BOOST_TEST(place(y) == at);
                y[n - 1] = 2;
                BOOST_TEST(place(y) == at);
                y[n / 2] = not_a_number;
                BOOST_TEST(place(y) == n / 2);
                y[at] = infinity;
                y[0] = not_a_number;
                BOOST_TEST(place(y) == 0u);
            }
        }
        BOOST_TEST(place(pali::core::aligned_vector<float>(40, -infinity)) == 0u);
    });
}

BOOST_AUTO_TEST_CASE(the_sum_of_exponentials_is_that_of_doubles) {
    pali::test::for_every_arch([](auto tag) {
        for (const std::size_t n : {0u, 1u, 5u, 64u, 1027u, 257216u}) {
            auto x = pali::test::random(n, 3);
            for (float& value : x) value = 20 * value - 20; // at most 0
            if (n > 4) x[1] = -infinity, x[2] = -200, x[3] = 0;
            double want = 0;
            for (const float value : x) want += std::exp(static_cast<double>(value));
            const double sum = pali::kernels::sum_of_exp(tag, x.data(), n, 0.f);
            BOOST_TEST(std::abs(sum - want) <= 2e-7 * want, decltype(tag)::name() << " n " << n << ": " << sum << ", " << want);
        }
    });
}

BOOST_AUTO_TEST_CASE(parts_of_a_row_have_the_sum_of_the_row) {
    pali::test::for_every_arch([](auto tag) {
        const auto x = pali::test::random(5 * 1024 + 77, 4, 10.f);
        const double whole = pali::kernels::sum_of_exp(tag, x.data(), x.size(), 10.f);
        for (const std::size_t part : {1024u, 2048u, 5 * 1024u}) {
            double sum = 0;
            for (std::size_t i = 0; i < x.size(); i += part)
                sum = pali::kernels::sum_of_exp(tag, x.data() + i, std::min(part, x.size() - i), 10.f, sum);
            BOOST_TEST(sum == whole, decltype(tag)::name() << " parts of " << part);
        }
    });
}

BOOST_AUTO_TEST_SUITE_END()
