// The results that each source of test_odr_flags computes; see odr_flags_main.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// The same computations, by code compiled with one set of flags.
struct answers {
    const char* flags = "";
    std::array<float, 4> product{}; ///< (1 2 … 40) times four rows, filled with 1, 2, 3 and 4
    std::array<float, 40> norm{};   ///< RMSNorm of 40 elements equal to 3, scale 0
    double log_sum = 0;             ///< log of the sum of exp of 40 zeros
    std::size_t top = 0;            ///< index of the 7 among zeros
    std::uint8_t pixel = 0;         ///< a pixel of an upscaled image of 50s
    std::array<std::uintptr_t, 3>
        functions{}; ///< addresses of a kernel, of a function that calls one, and of one that does not depend on kernels
};

answers plain_checked();
answers plain();
#if defined(__x86_64__)
answers avx2_checked();
answers avx2();
#endif
