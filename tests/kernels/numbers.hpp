// Random values and instruction sets for the kernel tests.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/aligned.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <tuple>

namespace pali::test {

/// Every instruction set that xsimd supports with the flags of this translation unit.
#if defined(__x86_64__)
using simd_tags = std::tuple<arch::simd<xsimd::sse2>
#  if defined(__AVX2__) && defined(__FMA__)
                             ,
                             arch::simd<xsimd::avx2>
#  endif
                             ,
                             arch::simd<>>;
#else
using simd_tags = std::tuple<arch::simd<>>;
#endif

/// Calls f(tag) for each instruction set.
template <class F>
void for_every_arch(F f) {
    std::apply([&](auto... tags) { (f(tags), ...); }, simd_tags{});
}

template <class T = float>
pali::core::aligned_vector<T> random(std::size_t n, unsigned seed, float scale = 1.f) {
    std::mt19937 bits(seed);
    pali::core::aligned_vector<T> values(n);
    for (T& value : values) value = T(scale * (static_cast<float>(bits()) / 2147483648.f - 1.f)); // uniform in [-scale, scale)
    return values;
}

/// The largest absolute difference divided by the largest expected magnitude.
template <class Got, class Want>
double difference(const Got& got, const Want& want) {
    BOOST_TEST_REQUIRE(got.size() == want.size());
    double worst = 0, largest = 1e-30;
    for (std::size_t i = 0; i < got.size(); ++i) {
        worst = std::max(worst, std::isfinite(got[i]) ? std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) : HUGE_VAL);
        largest = std::max(largest, std::abs(static_cast<double>(want[i])));
    }
    return worst / largest;
}

} // namespace pali::test
