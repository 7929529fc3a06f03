// Attention over bfloat16 keys and values by AVX512-BF16: two elements of a key, or two values, per lane.
#pragma once

#include <pali/kernels/attention/loop_keys.hpp>
#include <pali/kernels/product/dot_bf16_avx512.hpp>

#if defined(__x86_64__)
#  include <immintrin.h>

#  include <cstdint>
#  include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// VDPBF16PS adds two products, of the elements of two rows, to each of sixteen sums. Weights are rounded to bfloat16. Rows are read in
/// place, because they are stored interleaved in pairs. Needs arch::features::avx512_bf16.
struct rows_bf16_avx512 {
    using input = bfloat16;                                     ///< element type of the weights p
    using element = bfloat16;                                   ///< element type of the rows of v
    using weigher = detail::register_weigher<rows_bf16_avx512>; ///< multiplies matrices of any size in register tiles
    static constexpr std::size_t lanes = 16;                    ///< floats of a register of sums
    /// Columns of a tile of R rows, in registers.
    template <std::size_t R>
    static constexpr std::size_t columns = 4;

    /// Rounds n weights to bfloat16 (nearest even) and zero-pads them to a multiple of 32. May be in place: a packed weight takes half the
    /// space of a float.
    static void pack(const float* p, std::size_t n, bfloat16* packed) noexcept { dot_bf16_avx512::pack(p, n, packed); }

    /// Same as rows_simd::tile(), with two terms per step.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void tile(rows<const bfloat16> p, const paired_rows<bfloat16>& v, const float* decay, rows<float> y) noexcept {
        __m512 sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c)
            sums[r][c] = decay ? _mm512_load_ps(y[r] + c * lanes) * _mm512_set1_ps(decay[r]) : _mm512_setzero_ps();
        const std::size_t whole = p.width / 2 * 2;
        PALI_NO_UNROLL
        for (std::size_t j = 0; j < whole; j += 2) {
            __m512i values[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) values[c] = _mm512_load_si512(v.data + j * v.width + 2 * c * lanes);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) arch::fetch_ahead(v.data + (j + p.width) * v.width + 2 * c * lanes);
            add(p, j, values, sums);
        }
        if (whole != p.width) { // the last pair has only one row; the memory of the other row may hold NaN
            __m512i values[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) values[c] = _mm512_maskz_loadu_epi16(0x55555555, v.data + whole * v.width + 2 * c * lanes);
            add(p, whole, values, sums);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c) _mm512_store_ps(y[r] + c * lanes, sums[r][c]);
    }

private:
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add(const rows<const bfloat16>& p, std::size_t j, const __m512i (&values)[C], __m512 (&sums)[R][C]) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            std::int32_t both;
            std::memcpy(&both, p[r] + j, sizeof both);
            __m512i weights = _mm512_set1_epi32(both);
            PALI_IN_REGISTER(weights);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], (__m512bh)weights, (__m512bh)values[c]);
        }
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD

#endif
