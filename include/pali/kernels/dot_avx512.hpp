// Dot products of tokens with quantised weights by AVX512-VNNI: bytes times bytes, two strips of rows and eight tokens at once.
#pragma once

#include <pali/kernels/dot_quantised.hpp>

#if defined(__x86_64__)

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/**
 * Two strips at a time: lanes are their sixteen rows. vpdpbusd adds four products of an unsigned and a signed byte to each lane; what codes without sign
 * add too much, the sums begin without. 32 registers hold eight tokens' sums within a group and over groups, so that codes are unpacked once for eight.
 * Needs arch::features::avx512_vnni.
 */
struct avx512_vnni_dot {
    static constexpr std::size_t strips = 2, tokens = 8; ///< at a time

    /// As portable_dot::dot(), of strips i and `second`.
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni")
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t second, const quantised_tokens& x, std::size_t first,
                    float (&y)[R][strips * quantised_rows<Bits>::strip]) noexcept {
        using matrix = quantised_rows<Bits>;
        const std::uint8_t *a = w.codes_of(i), *b = w.codes_of(second);
        const bfloat16 *a_scales = w.scales_of(i), *b_scales = w.scales_of(second);
        const std::int8_t* activations = x.codes + first * x.width;
        const std::int32_t* begins = x.begins + first * x.groups;
        const float* scales = x.scales + first * x.groups;
        const std::ptrdiff_t ahead = w.codes_of(strips) - w.codes, scales_ahead = w.scales_of(strips) - w.scales; // the same place of what comes next
        __m512 sums[R];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) sums[r] = _mm512_setzero_ps();
        for (std::size_t g = 0; g < x.groups; ++g) {
            PALI_UNROLL
            for (std::size_t line = 0; line < matrix::group_bytes; line += 64) {
                arch::fetch_ahead(a + ahead + line);
                arch::fetch_ahead(b + ahead + line);
            }
            arch::fetch_ahead(a_scales + scales_ahead);
            arch::fetch_ahead(b_scales + scales_ahead);
            __m512i products[R];
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) products[r] = _mm512_set1_epi32(begins[r]);
            PALI_UNROLL
            for (std::size_t v = 0; v < matrix::group_bytes / 32; ++v) {
                const __m512i bytes = both(a + 32 * v, b + 32 * v);
                if constexpr (Bits == 4) {
                    const __m512i low_half = _mm512_set1_epi8(15);
                    add(_mm512_and_si512(bytes, low_half), activations + 4 * R * v, products);
                    add(_mm512_and_si512((__m512i)((words)bytes >> 4), low_half), activations + (4 * v + matrix::group / 2) * R, products);
                } else {
                    add(_mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80))), activations + 4 * R * v, products); // code + 128, in two's complement
                }
            }
            const __m512 scale = as_floats(a_scales, b_scales);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) sums[r] = _mm512_fmadd_ps(__builtin_convertvector((numbers)products[r], __m512), _mm512_mul_ps(scale, _mm512_set1_ps(scales[r])), sums[r]);
            a += matrix::group_bytes, b += matrix::group_bytes, a_scales += matrix::strip, b_scales += matrix::strip;
            activations += matrix::group * R, begins += R, scales += R;
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) _mm512_storeu_ps(y[r], sums[r]);
    }

private:
    // Vectors of the compilers, and not intrinsics where those of g++ 12 warn of themselves.
    typedef std::uint16_t shorts __attribute__((vector_size(16), may_alias, aligned(1)));
    typedef std::int32_t numbers __attribute__((vector_size(64)));
    typedef std::uint32_t words __attribute__((vector_size(64)));
    typedef long long half __attribute__((vector_size(32), may_alias, aligned(1)));

    /// 32 bytes of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512i both(const void* a, const void* b) noexcept {
        return (__m512i)__builtin_shufflevector(*static_cast<const half*>(a), *static_cast<const half*>(b), 0, 1, 2, 3, 4, 5, 6, 7);
    }

    /// Eight scales of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512 as_floats(const bfloat16* a, const bfloat16* b) noexcept {
        const auto scales = __builtin_shufflevector(*reinterpret_cast<const shorts*>(a), *reinterpret_cast<const shorts*>(b), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return (__m512)(__builtin_convertvector(scales, words) << 16);
    }

    /// products[r] += weights · four numbers of token r. Assembly, because g++ 12 would load and repeat them by an instruction of its own.
    template <std::size_t R>
    PALI_TARGET("avx512f,avx512vnni")
    static inline void add(__m512i weights, const std::int8_t* activations, __m512i (&products)[R]) noexcept {
        struct four { std::int8_t numbers[4]; };
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(products[r]) : "v"(weights), "m"(*reinterpret_cast<const four*>(activations + 4 * r)));
    }
};

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

#endif
