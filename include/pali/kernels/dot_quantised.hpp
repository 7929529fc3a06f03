// Dot products of few tokens with quantised weights: bytes times bytes, summed exactly within a group.
#pragma once

#include <pali/arch/prefetch.hpp>
#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/quantised.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#  include <immintrin.h>
#endif

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Tokens [first, first + count) that meet weights together, and lie together.
struct token_tile {
    std::size_t first = 0, count = 0; ///< tokens
};

/// Activations rounded to bytes, with a scale for each token and group of weights, tile after tile of R tokens. Views of scratch memory.
struct quantised_tokens {
    std::int8_t* codes = nullptr;   ///< (width / 4, R, 4) of each tile: four numbers of each token, the next four of each, ...
    float* scales = nullptr;        ///< (groups, R): the largest of a group is 127
    std::int32_t* begins = nullptr; ///< (groups, R): what sums begin with, for weights that are multiplied as code + 8, or + 128, and so have no sign
    std::size_t width = 0, groups = 0; ///< numbers of a token; width / group

    /// Scratch for `count` tokens that meet weights of `Bits` bits.
    template <std::size_t Bits>
    [[nodiscard]] static quantised_tokens take(arena& scratch, std::size_t count, std::size_t width) {
        const std::size_t groups = width / quantised_rows<Bits>::group;
        auto* const codes = reinterpret_cast<std::int8_t*>(scratch.take((count * width + 3) / 4));
        float* const scales = scratch.take(count * groups);
        return {.codes = codes, .scales = scales, .begins = reinterpret_cast<std::int32_t*>(scratch.take(count * groups)), .width = width, .groups = groups};
    }
};

/// Rounds groups [first, end) of one token: x (width) -> token t of `to`, which is one of `tile`. Where a number of a group is not finite, the scale is NaN, and so is
/// what is made of it.
template <std::size_t Bits>
void quantise_token(const float* x, std::size_t t, const token_tile& tile, std::size_t first, std::size_t end, const quantised_tokens& to) noexcept {
    constexpr std::size_t group = quantised_rows<Bits>::group;
    constexpr float least = 1e-36f; // below, 127 / top is more than a float holds
    static constexpr float nothing[group] = {};
    using batch = arch::simd<>::batch;
    x += first * group;
    std::int8_t* codes = to.codes + tile.first * to.width + first * group * tile.count + 4 * (t - tile.first);
    for (std::size_t g = first; g < end; ++g, x += group) {
        batch tops(0.f), strays(0.f); // a maximum may pass over NaN, which 0 · NaN and 0 · infinity do not
        for (std::size_t i = 0; i < group; i += batch::size) {
            const batch some = batch::load_unaligned(x + i);
            tops = xsimd::max(tops, xsimd::abs(some));
            strays += some * batch(0.f);
        }
        const float top = compat::reduce_max(tops) + compat::reduce_add(strays);
        const bool counts = top >= least; // and is no NaN
        const float* const numbers = counts ? x : nothing;
        const float inverse = counts ? 127.f / top : 0.f;
        std::int8_t rounded[group];
        int sum = 0;
        for (std::size_t i = 0; i < group; ++i) {
            const float scaled = numbers[i] * inverse; // rounded half away from zero, which vectorises everywhere
            const int code = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
            rounded[i] = static_cast<std::int8_t>(code);
            sum += code;
        }
        for (std::size_t i = 0; i < group; i += 4, codes += 4 * tile.count) std::memcpy(codes, rounded + i, 4);
        const std::size_t at = tile.first * to.groups + g * tile.count + (t - tile.first);
        to.scales[at] = top / 127.f;
        to.begins[at] = (Bits == 4 ? -8 : -128) * sum;
    }
}

/// The formula, in integers within a group and float32 over groups: what every processor can do.
struct portable_dot {
    static constexpr std::size_t strips = 1, tokens = 4; ///< at once

    /// y[r] (8) = the rows of strip `i` · token `first + r` of x, for R tokens. There is no second strip.
    template <std::size_t R, std::size_t Bits>
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t, const quantised_tokens& x, std::size_t first, float (&y)[R][quantised_rows<Bits>::strip]) noexcept {
        for (std::size_t r = 0; r < R; ++r)
            one<Bits>(w.codes_of(i), w.scales_of(i), x.codes + first * x.width + 4 * r, x.scales + first * x.groups + r, R, x.groups, y[r]);
    }

private:
    /// One token of a tile of `together`. Never inlined: a multiplication and an addition are joined or not in one way, for any R.
    template <std::size_t Bits>
    [[gnu::noinline]] static void one(const std::uint8_t* codes, const bfloat16* scales, const std::int8_t* token, const float* token_scales, std::size_t together,
                                      std::size_t groups, float* y) noexcept {
        using matrix = quantised_rows<Bits>;
        std::fill(y, y + matrix::strip, 0.f);
        for (std::size_t g = 0; g < groups; ++g, codes += matrix::group_bytes, scales += matrix::strip, token += matrix::group * together, token_scales += together) {
            std::int8_t numbers[matrix::group];
            for (std::size_t k = 0; k < matrix::group; k += 4) std::memcpy(numbers + k, token + k * together, 4);
            std::int32_t sums[matrix::strip] = {};
            for (std::size_t k = 0; k < matrix::group_bytes / matrix::strip; ++k)
                for (std::size_t n = 0; n < matrix::strip; ++n) {
                    const std::uint8_t byte = codes[matrix::byte_in_group(n, k)];
                    if constexpr (Bits == 8) sums[n] += static_cast<std::int16_t>(static_cast<std::int8_t>(byte)) * static_cast<std::int16_t>(numbers[k]);
                    else sums[n] += ((byte & 15) - 8) * numbers[k] + ((byte >> 4) - 8) * numbers[k + matrix::group / 2];
                }
            for (std::size_t n = 0; n < matrix::strip; ++n) y[n] += static_cast<float>(scales[n]) * *token_scales * static_cast<float>(sums[n]);
        }
    }
};

#if defined(__x86_64__)

/// AVX2: vpmaddubsw, 32 products of an unsigned and a signed byte, added in pairs.
struct avx2_bytes {
    static constexpr bool keeps_signs = true; ///< of codes of 8 bits

    /// A group of codes, as code + 8, times a tile of R tokens. Sums of 16 products of at most 15 · 127 stay below 2^15.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_4_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i half = _mm256_set1_epi8(15);
        PALI_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            __m256i bytes = load(codes + 32 * v);
            PALI_IN_REGISTER(bytes); // or g++ reads it twice
            const __m256i low = _mm256_and_si256(bytes, half), high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const std::int8_t* const four = tokens + 4 * (R * v + r);
                const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(low, repeat(four)), _mm256_maddubs_epi16(high, repeat(four + 16 * R)));
                products[r] = v == 0 ? both : _mm256_add_epi16(products[r], both);
                PALI_IN_REGISTER(products[r]); // or g++ adds all at the end, and keeps them in memory until then
            }
        }
        for (auto& product : products) product = _mm256_madd_epi16(product, _mm256_set1_epi16(1));
    }

    /// The same with whole bytes: |code| times the number with the sign of the code. No pair overflows: 128 · 127 · 2 is below 2^15.
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

    PALI_TARGET("avx2,fma")
    static inline __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

    /// Eight of a group's scales.
    PALI_TARGET("avx2,fma")
    static inline __m256 load_scales(const bfloat16* from) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 16));
    }

    /// Four bytes, eight times.
    PALI_TARGET("avx2,fma")
    static inline __m256i repeat(const std::int8_t* four) noexcept {
        std::int32_t bits;
        std::memcpy(&bits, four, sizeof bits);
        return _mm256_set1_epi32(bits);
    }
};

/// AVX-VNNI: vpdpbusd adds four products of an unsigned and a signed byte to each of eight sums. All around it is AVX2, which the assembly keeps so.
struct vnni_bytes {
    static constexpr bool keeps_signs = false;

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

    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_8_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i top_bit = _mm256_set1_epi8(static_cast<char>(0x80)); // code + 128, in two's complement
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

/// A strip at a time; lanes are its rows. `Bytes` multiplies a group.
template <class Bytes>
struct x86_dot {
    static constexpr std::size_t strips = 1, tokens = 4;

    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx2,fma")
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t, const quantised_tokens& x, std::size_t first, float (&y)[R][quantised_rows<Bits>::strip]) noexcept {
        using matrix = quantised_rows<Bits>;
        const std::uint8_t* codes = w.codes_of(i);
        const bfloat16* scales = w.scales_of(i);
        const std::int8_t* activations = x.codes + first * x.width;
        const float* token_scales = x.scales + first * x.groups;
        const std::int32_t* begins = x.begins + first * x.groups;
        // Several tokens work on a strip more than once, and fetch the same place of the next; one token reads on.
        const std::size_t ahead = R == 1 ? one_ahead : matrix::strip * matrix::bytes_of(w.width), scales_ahead = ahead / matrix::group_bytes * matrix::strip;
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
                sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r]), _mm256_mul_ps(scale, _mm256_broadcast_ss(token_scales + r)), sums[r]);
            }
            codes += matrix::group_bytes, scales += matrix::strip, activations += matrix::group * R, token_scales += R, begins += R;
        }
        for (std::size_t r = 0; r < R; ++r) _mm256_storeu_ps(y[r], sums[r]);
    }

private:
    static constexpr std::size_t one_ahead = 1024; // bytes; of 0.5 to 4 KB the best on Zen 3: docs/performance.md
};

using avx2_dot = x86_dot<avx2_bytes>;     ///< needs arch::features::avx2
using avx_vnni_dot = x86_dot<vnni_bytes>; ///< needs arch::features::avx_vnni

#endif

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
