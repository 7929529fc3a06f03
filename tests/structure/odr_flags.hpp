// What each source of test_odr_flags works out; see odr_flags_main.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// The same questions, answered by code compiled with one set of flags.
struct answers {
    const char* flags = "";
    std::array<float, 4> product{}; ///< (1 2 … 40) times four rows of one number each: 1, 2, 3, 4
    std::array<float, 40> norm{};   ///< RMSNorm of 40 times 3, scale 0
    double log_sum = 0;             ///< log of the sum of exp of 40 zeros
    std::size_t top = 0;            ///< where 7 is among zeros
    std::uint8_t pixel = 0;         ///< of an image of 50, made larger
    std::array<std::uintptr_t, 3>
        functions{}; ///< where a kernel, a function that calls one and a function that has nothing to do with it are
};

answers plain_checked();
answers plain();
#if defined(__x86_64__)
answers avx2_checked();
answers avx2();
#endif
