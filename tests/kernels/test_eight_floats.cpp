// Compares operations on registers of eight floats with scalar loops.
#include "emulated_tiles.hpp"
#include "numbers.hpp"

#include <pali/kernels/eight_floats.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace {

// A function that inlines AVX2 kernels must be compiled for AVX2, whatever the flags of this file.
PALI_TARGET("avx2") void round_sixteen(const float* from, pali::core::bfloat16* to) { pali::kernels::round_sixteen(from, to); }
PALI_TARGET("avx2") void transpose(pali::kernels::eight_floats (&block)[8]) { pali::kernels::transpose(block); }

} // namespace

BOOST_AUTO_TEST_SUITE(eight_floats, *boost::unit_test::precondition(pali::test::has_avx2))

BOOST_AUTO_TEST_CASE(rounds_as_bfloat16_does) {
    using limits = std::numeric_limits<float>;
    float x[16] = {0.f,
                   -0.f,
                   1.f,
                   -3.14159f,
                   limits::infinity(),
                   -limits::infinity(),
                   limits::quiet_NaN(),
                   -limits::quiet_NaN(),
                   limits::max(),
                   limits::denorm_min(),
                   limits::min(),
                   std::bit_cast<float>(0x7fffffffu),
                   std::bit_cast<float>(0xff800001u), // NaN: quiet and signaling
                   std::bit_cast<float>(0x3f808000u),
                   std::bit_cast<float>(0x3f818000u),
                   std::bit_cast<float>(0x3f808001u)}; // halfway: ties to even down and up, and above halfway
    for (int round = 0; round < 100; ++round) {
        pali::core::bfloat16 apart[16];
        round_sixteen(x, apart);
        for (int i = 0; i < 16; ++i) BOOST_TEST(apart[i].bits == pali::core::bfloat16(x[i]).bits);
        auto* const in_place = reinterpret_cast<pali::core::bfloat16*>(x);
        round_sixteen(x, in_place);
        for (int i = 0; i < 16; ++i) BOOST_TEST(in_place[i].bits == apart[i].bits);
        const auto next = pali::test::random(16, static_cast<unsigned>(round));
        std::copy(next.begin(), next.end(), x);
    }
}

BOOST_AUTO_TEST_CASE(turns_over) {
    pali::kernels::eight_floats block[8];
    for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) block[i][j] = static_cast<float>(10 * i + j);
    transpose(block);
    for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) BOOST_TEST(float{block[i][j]} == static_cast<float>(10 * j + i));
}

BOOST_AUTO_TEST_SUITE_END()
