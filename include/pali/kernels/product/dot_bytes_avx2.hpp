// Dot products of few tokens with quantized weights by AVX2 and AVX-VNNI: byte products with exact sums within a group.
#pragma once

#if defined(__x86_64__)

#  include <pali/arch/prefetch.hpp>
#  include <pali/arch/simd.hpp>
#  include <pali/kernels/product/quantized_tokens.hpp>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>
#  include <cstring>
#  include <immintrin.h>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

static_assert(quantized_rows<4>::group == 32 && quantized_rows<8>::group == 64,
              "a group fills 4 registers of 32 codes of 4 bits with their upper halves, or 16 of 8 bits");

/// Byte products by AVX2: VPMADDUBSW multiplies 32 unsigned by signed bytes and adds the products in pairs.
struct avx2_bytes {
    static constexpr bool keeps_signs = true; ///< 8-bit codes stay signed, so their sums start at zero

    /// Multiplies a group of 4-bit codes, as code + 8, by a tile of R tokens. Sums of 16 products of at most 15 · 127 stay below 2^15.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_4_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i half = _mm256_set1_epi8(15);
        PALI_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            __m256i bytes = load(codes + 32 * v);
            PALI_IN_REGISTER(bytes); // otherwise g++ loads it twice
            const __m256i low = _mm256_and_si256(bytes, half), high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const std::int8_t* const four = tokens + 4 * (R * v + r);
                const __m256i both =
                    _mm256_add_epi16(_mm256_maddubs_epi16(low, repeat(four)), _mm256_maddubs_epi16(high, repeat(four + 16 * R)));
                products[r] = v == 0 ? both : _mm256_add_epi16(products[r], both);
                PALI_IN_REGISTER(products[r]); // otherwise g++ delays all additions to the end and spills their operands
            }
        }
        for (auto& product : products) product = _mm256_madd_epi16(product, _mm256_set1_epi16(1));
    }

    /// Same, for 8-bit codes. Multiplies |code| by the activation with the sign of the code applied. A pair does not overflow: 128 · 127 ·
    /// 2 is below 2^15.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_8_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL_EIGHT
        for (std::size_t v = 0; v < 16; ++v) {
            const __m256i bytes = load(codes + 32 * v), size = _mm256_abs_epi8(bytes);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(repeat(tokens + 4 * (R * v + r)), bytes));
                products[r] = _mm256_add_epi32(products[r], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
    }

    /// Loads 32 bytes, not necessarily aligned.
    PALI_TARGET("avx2,fma")
    static inline __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

    /// Loads the eight scales of a group as float32.
    PALI_TARGET("avx2,fma")
    static inline __m256 load_scales(const bfloat16* from) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 16));
    }

    /// Broadcasts four bytes to all eight lanes.
    PALI_TARGET("avx2,fma")
    static inline __m256i repeat(const std::int8_t* four) noexcept {
        std::int32_t bits;
        std::memcpy(&bits, four, sizeof bits);
        return _mm256_set1_epi32(bits);
    }
};

/// Byte products by AVX-VNNI: VPDPBUSD adds four products of an unsigned and a signed byte to each of eight sums. Uses inline assembly, so
/// that the surrounding code is compiled for AVX2 only.
struct vnni_bytes {
    static constexpr bool keeps_signs = false; ///< 8-bit codes are multiplied as unsigned code + 128

    /// Multiplies a group of 4-bit codes, as code + 8, by a tile of R tokens.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_4_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i half = _mm256_set1_epi8(15);
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            __m256i bytes = avx2_bytes::load(codes + 32 * v);
            PALI_IN_REGISTER(bytes);
            add(_mm256_and_si256(bytes, half), tokens + 4 * R * v, products);
            add(_mm256_and_si256(_mm256_srli_epi16(bytes, 4), half), tokens + 4 * R * v + 16 * R, products);
        }
    }

    /// Multiplies a group of 8-bit codes, as code + 128, by a tile of R tokens.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_8_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i top_bit = _mm256_set1_epi8(static_cast<char>(0x80)); // flips the top bit: code + 128, unsigned
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL
        for (std::size_t v = 0; v < 16; ++v) add(_mm256_xor_si256(avx2_bytes::load(codes + 32 * v), top_bit), tokens + 4 * R * v, products);
    }

private:
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void add(__m256i weights, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const __m256i four = avx2_bytes::repeat(tokens + 4 * r);
            __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(products[r]) : "x"(weights), "x"(four));
        }
    }
};

/// Policy of loop_bytes() on AVX2 registers. Computes one strip at a time; lanes are the rows of the strip. `Bytes` multiplies one group.
template <class Bytes>
struct x86_dot {
    static constexpr std::size_t strips = 1; ///< strips per call
    static constexpr std::size_t tokens = 4; ///< tokens per call, at most

    /// Same as dot_bytes_portable::dot().
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx2,fma")
    static void dot(const quantized_rows<Bits>& w, std::size_t i, std::size_t, const quantized_tokens& x, std::size_t first,
                    float (&y)[R][quantized_rows<Bits>::strip]) noexcept {
        using matrix = quantized_rows<Bits>;
        const std::uint8_t* codes = w.codes_of(i);
        const bfloat16* scales = w.scales_of(i);
        const std::int8_t* activations = x.codes + first * x.width;
        const float* token_scales = x.scales + first * x.groups;
        const std::int32_t* begins = x.begins + first * x.groups;
        // For several tokens, a strip is read more than once, so the next strip is prefetched. For one token, the loop prefetches ahead in
        // the same stream.
        const std::size_t ahead = R == 1 ? one_ahead : matrix::strip * matrix::bytes_of(w.width),
                          scales_ahead = ahead / matrix::group_bytes * matrix::strip;
        __m256 sums[R];
        for (auto& sum : sums) sum = _mm256_setzero_ps();
        for (std::size_t g = 0; g < x.groups; ++g) {
            PALI_UNROLL
            for (std::size_t line = 0; line < matrix::group_bytes; line += 64) arch::fetch_ahead(codes + ahead + line);
            arch::fetch_ahead(scales + scales_ahead);
            __m256i products[R];
            if constexpr (Bits == 4) Bytes::of_4_bits(codes, activations, products);
            else Bytes::of_8_bits(codes, activations, products);
            const __m256 scale = avx2_bytes::load_scales(scales);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                if constexpr (Bits == 4 || !Bytes::keeps_signs) products[r] = _mm256_add_epi32(products[r], _mm256_set1_epi32(begins[r]));
                sums[r] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r]), _mm256_mul_ps(scale, _mm256_broadcast_ss(token_scales + r)), sums[r]);
            }
            codes += matrix::group_bytes, scales += matrix::strip, activations += matrix::group * R, token_scales += R, begins += R;
        }
        for (std::size_t r = 0; r < R; ++r) _mm256_storeu_ps(y[r], sums[r]);
    }

private:
    static constexpr std::size_t one_ahead = 1024; // bytes; the fastest distance from 0.5 to 4 KB on Zen 3: docs/notes/product_bytes.md
};

using dot_bytes_avx2 = x86_dot<avx2_bytes>; ///< needs arch::features::avx2
using dot_bytes_vnni = x86_dot<vnni_bytes>; ///< needs arch::features::avx_vnni

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD

#endif
