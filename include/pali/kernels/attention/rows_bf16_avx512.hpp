// Attention over keys and values in bfloat16 by AVX512-BF16: two numbers of a key, or two values, at once.
#pragma once

#include <pali/kernels/attention/loop_keys.hpp>
#include <pali/kernels/product/dot_bf16_avx512.hpp>

#if defined(__x86_64__)
#  include <immintrin.h>

#  include <cstdint>
#  include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// vdpbf16ps adds a number of each of two rows to each of sixteen sums: weights are rounded to bfloat16, rows are taken as they lie. Needs
/// arch::features::avx512_bf16.
struct rows_bf16_avx512 {
    using number = bfloat16;                                    ///< of weights
    using element = bfloat16;                                   ///< of rows
    using weigher = detail::register_weigher<rows_bf16_avx512>; ///< goes through both in tiles of registers
    static constexpr std::size_t lanes = 16;                    ///< of a register of sums
    /// Registers of columns of a tile beside R rows.
    template <std::size_t R>
    static constexpr std::size_t columns = 4;

    /// n weights, rounded to nearest even, with a zero behind an odd one; may be done in place, where a weight takes half of its room.
    static void pack(const float* p, std::size_t n, bfloat16* packed) noexcept { dot_bf16_avx512::pack(p, n, packed); }

    /// As rows_simd::tile(), two terms at a time.
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
        if (whole != p.width) { // the row beside the last is not there, and may be no number
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
