// Dot products with bfloat16 weights by AVX512-BF16, which multiplies pairs: twice as many products per instruction as FMA.
#pragma once

#include <pali/kernels/product/dot_floats_simd.hpp>

#if defined(__x86_64__)
#  include <immintrin.h>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/**
 * VDPBF16PS adds two products of bfloat16 to each of sixteen sums. x is rounded to bfloat16; weights are read in place and nothing is
 * widened. Denormals count as zero. Needs arch::features::avx512_bf16.
 */
struct dot_bf16_avx512 {
    using input = bfloat16;                  ///< element type of packed activations
    using element = bfloat16;                ///< element type of weights
    static constexpr std::size_t lanes = 16; ///< floats of a register of sums
    static constexpr std::size_t pair = 32;  ///< elements of a row per step
    static constexpr bool in_parts = false;  ///< no K-blocks: L2 bandwidth suffices for ten loads per 24 products
    /// Columns of a register tile of R rows. At four and six rows, 24 sums, their weights and one activation fit in 32 registers.
    template <std::size_t R>
    static constexpr std::size_t columns = R == 1   ? 8
                                           : R == 4 ? 6
                                                    : 4;

    /// Rounds a row to bfloat16 (nearest even) and zero-pads it to whole pairs.
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void pack(const float* x, std::size_t width, bfloat16* packed) noexcept {
        for (std::size_t k = 0; k < width; k += pair) {
            const std::size_t rest = width - k;
            const __m512 low = _mm512_maskz_loadu_ps(first_lanes<__mmask16>(rest), x + k);
            const __m512 high =
                rest > lanes ? _mm512_maskz_loadu_ps(first_lanes<__mmask16>(rest - lanes), x + k + lanes) : _mm512_setzero_ps();
            const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
            _mm512_storeu_si512(packed + k, (__m512i)rounded);
        }
    }

    /// Same as dot_floats_simd::tile(), with the same guarantees. `part` must cover the whole row.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void tile(rows<const bfloat16> x, rows<const bfloat16> w, [[maybe_unused]] const partial_sums& part, const float* bias,
                     rows<float> y) noexcept {
        PALI_ASSERT(part.begin == 0 && part.end == w.width);
        const std::size_t whole = w.width / pair * pair;
        __m512 sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_setzero_ps();
        if constexpr (R == 1) add_row(x[0], w, whole, sums[0]);
        else PALI_NO_UNROLL
        for (std::size_t k = 0; k < whole; k += pair) {
            __m512i weights[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) weights[c] = _mm512_loadu_si512(w[c] + k);
            add(x, k, weights, sums, rows<const bfloat16>(w[2 * C] + k, C, pair, w.stride)); // prefetches two tiles ahead
        }
        if (whole != w.width) { // the row ends inside a register, and memory past its end may not be readable
            __m512i weights[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c)
                weights[c] = _mm512_maskz_loadu_epi16(first_lanes<__mmask32>(w.width - whole), w[c] + whole);
            add(x, whole, weights, sums, w);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; c += 4) {
            __m512 four[4];
            PALI_UNROLL
            for (std::size_t i = 0; i < 4; ++i) four[i] = c + i < C ? sums[r][c + i < C ? c + i : 0] : _mm512_setzero_ps();
            __m128 of_columns = add_lanes(four);
            if (c + 4 <= C) {
                if (bias) of_columns += _mm_loadu_ps(bias + c);
                _mm_storeu_ps(y[r] + c, of_columns);
            } else {
                PALI_UNROLL
                for (std::size_t i = c; i < C; ++i) y[r][i] = of_columns[i - c] + (bias ? bias[i] : 0.f);
            }
        }
    }

private:
    /// Mask of the first `count` lanes; of all lanes if `count` exceeds their number.
    template <class Mask>
    [[nodiscard]] static Mask first_lanes(std::size_t count) noexcept {
        return count >= 8 * sizeof(Mask) ? static_cast<Mask>(~Mask{0}) : static_cast<Mask>((Mask{1} << count) - 1);
    }

    /// Adds the products of elements [0, whole) of a single row and each column. This loop is bound by memory bandwidth. The fewer
    /// instructions it has per cache line of weights, the more loads of later lines fit in the out-of-order window. So weights are memory
    /// operands, and one offset per column serves two pointers: one to the columns of this tile, and one to the next tile, which is
    /// prefetched.
    template <std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add_row(const bfloat16* x, rows<const bfloat16> w, std::size_t whole, __m512 (&sums)[C]) noexcept {
        struct line {
            bfloat16 activations[pair];
        };
        const char *now = reinterpret_cast<const char*>(w.data), *next = reinterpret_cast<const char*>(w[C]);
        std::size_t column[C] = {};
        PALI_UNROLL
        for (std::size_t c = 1; c < C; ++c) {
            column[c] = c * w.stride * sizeof(bfloat16);
            __asm__("" : "+r"(column[c])); // otherwise compilers keep one pointer per column
        }
        PALI_NO_UNROLL
        for (std::size_t k = 0; k < whole; k += pair, now += sizeof(line), next += sizeof(line)) {
            const __m512i value = _mm512_loadu_si512(x + k);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                arch::fetch_ahead(next + column[c]);
                __m512 sum = sums[c]; // a scalar copy, because g++ keeps an array element in memory if inline assembly modifies it
                __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(value), "m"(*reinterpret_cast<const line*>(now + column[c])));
                sums[c] = sum;
            }
        }
    }

    /// Adds the products of one register of each row and one register of each column. Tiles of two and four rows also prefetch the columns
    /// `later`. The prefetches are spread evenly over the loop, because loads then stall less.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add(rows<const bfloat16> x, std::size_t k, const __m512i (&weights)[C], __m512 (&sums)[R][C],
                           const rows<const bfloat16>& later) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            __m512i value = _mm512_loadu_si512(x[r] + k);
            PALI_IN_REGISTER(value);
            if constexpr (R == 2 || R == 4)
                for (std::size_t c = r * C / R; c < (r + 1) * C / R; ++c) arch::fetch_ahead(later[c]);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], (__m512bh)value, (__m512bh)weights[c]);
        }
    }

    /// Sums the lanes of each of four registers, all in the same order.
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    PALI_ALWAYS_INLINE static inline __m128 add_lanes(const __m512 (&of)[4]) noexcept {
        const __m512 ab = __builtin_shufflevector(of[0], of[1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                          __builtin_shufflevector(of[0], of[1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
        const __m512 cd = __builtin_shufflevector(of[2], of[3], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                          __builtin_shufflevector(of[2], of[3], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
        const __m512 fours = __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
                             __builtin_shufflevector(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        const __m256 halves = __builtin_shufflevector(fours, fours, 0, 1, 2, 3, 4, 5, 6, 7) +
                              __builtin_shufflevector(fours, fours, 8, 9, 10, 11, 12, 13, 14, 15);
        return __builtin_shufflevector(halves, halves, 0, 1, 2, 3) + __builtin_shufflevector(halves, halves, 4, 5, 6, 7);
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD

#endif
