// Dot products of few tokens with quantised weights: bytes times bytes, summed exactly within a group.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/quantised.hpp>
#include <pali/core/rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#  include <immintrin.h>
#endif

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Activations rounded to bytes, with a scale for each token and group of weights: (T, K). Views of scratch memory.
struct quantised_tokens {
    std::int8_t* codes = nullptr; ///< (T, width)
    float* scales = nullptr;      ///< (T, stride): the largest of a group is 127; zeros behind the last group
    float* shifts = nullptr;      ///< (T, stride): 8 · scale · sum of codes, which is what codes of 4 bits held as code + 8 add too much
    std::size_t width = 0;
    std::size_t stride = 0; ///< groups of a token, in whole registers


    /// Scratch for `count` tokens that meet weights of `Bits` bits.
    template <std::size_t Bits>
    [[nodiscard]] static quantised_tokens take(arena& scratch, std::size_t count, std::size_t width) {
        const std::size_t stride = (width / quantised_rows<Bits>::group + 7) / 8 * 8;
        auto* const codes = reinterpret_cast<std::int8_t*>(scratch.take((count * width + 3) / 4));
        float* const scales = scratch.take(2 * count * stride);
        return {.codes = codes, .scales = scales, .shifts = scales + count * stride, .width = width, .stride = stride};
    }
};

/// Rounds one token: x (width) -> row t of `to`.
template <std::size_t Bits>
void quantise_token(const float* x, std::size_t t, const quantised_tokens& to) noexcept {
    constexpr std::size_t group = quantised_rows<Bits>::group;
    std::int8_t* const codes = to.codes + t * to.width;
    float *const scales = to.scales + t * to.stride, *const shifts = to.shifts + t * to.stride;
    std::fill(scales, scales + to.stride, 0.f);
    std::fill(shifts, shifts + to.stride, 0.f);
    for (std::size_t at = 0; at < to.width; at += group) {
        float top = 0;
        for (std::size_t i = 0; i < group; ++i) top = std::max(top, std::abs(x[at + i]));
        const float scale = top / 127.f, inverse = top == 0 ? 0.f : 127.f / top;
        int sum = 0;
        for (std::size_t i = 0; i < group; ++i) {
            const float scaled = x[at + i] * inverse; // rounded half away from zero, which vectorises everywhere
            const int code = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
            codes[at + i] = static_cast<std::int8_t>(code);
            sum += code;
        }
        scales[at / group] = scale;
        shifts[at / group] = 8.f * scale * static_cast<float>(sum);
    }
}

/// The formula, in integers within a group and float32 over groups: what every processor can do.
struct portable_dot {
    /// y[r] = row `n` of w · token `first + r` of x, for R tokens.
    template <std::size_t R, std::size_t Bits>
    static void row(const quantised_rows<Bits>& w, std::size_t n, const quantised_tokens& x, std::size_t first, float (&y)[R]) noexcept {
        constexpr std::size_t group = quantised_rows<Bits>::group;
        const bfloat16* const scales = w.scales_of(n);
        std::fill(y, y + R, 0.f);
        std::int8_t unpacked[quantised_piece];
        for (std::size_t at = 0; at < w.width; at += quantised_piece) {
            const std::uint8_t* const codes = w.codes_of(n) + quantised_rows<Bits>::bytes_of(at);
            if constexpr (Bits == 8) {
                std::memcpy(unpacked, codes, quantised_piece);
            } else {
                for (std::size_t i = 0; i < 32; ++i) unpacked[i] = static_cast<std::int8_t>((codes[i] & 15) - 8);
                for (std::size_t i = 0; i < 32; ++i) unpacked[32 + i] = static_cast<std::int8_t>((codes[i] >> 4) - 8);
            }
            for (std::size_t r = 0; r < R; ++r)
                y[r] = piece<group>(y[r], unpacked, x.codes + (first + r) * x.width + at, scales + at / group, x.scales + (first + r) * x.stride + at / group);
        }
    }

private:
    /// y + what one piece adds. Never inlined: a multiplication and an addition are joined or not in one way, for any R.
    template <std::size_t Group>
    [[gnu::noinline]] static float piece(float y, const std::int8_t* weights, const std::int8_t* token, const bfloat16* scales, const float* token_scales) noexcept {
        for (std::size_t g = 0; g < quantised_piece / Group; ++g) {
            std::int32_t sum = 0;
            for (std::size_t i = g * Group; i < (g + 1) * Group; ++i) sum += static_cast<std::int16_t>(weights[i]) * static_cast<std::int16_t>(token[i]);
            y += static_cast<float>(scales[g]) * token_scales[g] * static_cast<float>(sum);
        }
        return y;
    }
};

#if defined(__x86_64__)

/// vpmaddubsw: 32 products of an unsigned and a signed byte, added in pairs. No pair overflows: 127 · 128 · 2 and 15 · 127 · 2 are below 2^15.
struct avx2_dot {
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx2,fma")
    static void row(const quantised_rows<Bits>& w, std::size_t n, const quantised_tokens& x, std::size_t first, float (&y)[R]) noexcept {
        constexpr std::size_t group = quantised_rows<Bits>::group, batch = 8 * group; // as many groups as a register has lanes
        const std::uint8_t* codes = w.codes_of(n);
        const bfloat16* scales = w.scales_of(n);
        const std::int8_t* token = x.codes + first * x.width;
        __m256 sums[R][2]; // two, so that an addition need not wait for the one before
        for (auto& sum : sums) sum[0] = sum[1] = _mm256_setzero_ps();
        std::size_t at = 0;
        for (; at + batch <= w.width; at += batch) groups<R, Bits, 8>(codes, scales, token, x, first, at, sums);
        for (; at < w.width; at += quantised_piece) groups<R, Bits, quantised_piece / group>(codes, scales, token, x, first, at, sums);
        for (std::size_t r = 0; r < R; ++r) y[r] = sum_of(_mm256_add_ps(sums[r][0], sums[r][1]));
    }

private:
    /// Bytes of codes between what is multiplied and what is fetched: two to four rows of the 3B. The processor's own prefetching ends at each page; with this one
    /// token at a time reads 0.76 to 1.0 of the bandwidth and not 0.65 to 0.75 (Zen 3, 2304 columns; less and more ahead were worse).
    static constexpr std::size_t ahead = 4608;

    /// `Count` groups from number `at` on. `codes`, `scales` and `token` go on behind them.
    template <std::size_t R, std::size_t Bits, std::size_t Count>
    PALI_TARGET("avx2,fma")
    static inline void groups(const std::uint8_t*& codes, const bfloat16*& scales, const std::int8_t*& token, const quantised_tokens& x, std::size_t first, std::size_t at,
                              __m256 (&sums)[R][2]) noexcept {
        constexpr std::size_t group = quantised_rows<Bits>::group;
        alignas(32) float both[R][8]; // scale of the weights · scale of the token
        alignas(16) bfloat16 few[8] = {};
        if constexpr (Count < 8) std::memcpy(few, scales, Count * sizeof(bfloat16));
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(Count < 8 ? few : scales));
        const __m256 weight = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
        for (std::size_t r = 0; r < R; ++r) {
            const std::size_t index = (first + r) * x.stride + at / group;
            _mm256_store_ps(both[r], _mm256_mul_ps(weight, load_floats<Count>(x.scales + index)));
            if constexpr (Bits == 4) sums[r][1] = _mm256_fnmadd_ps(weight, load_floats<Count>(x.shifts + index), sums[r][1]);
        }
        __builtin_prefetch(reinterpret_cast<const char*>(scales) + ahead / 8);
        const __m256i ones = _mm256_set1_epi16(1);
        PALI_UNROLL
        for (std::size_t piece = 0; piece < Count * group / quantised_piece; ++piece) {
            __builtin_prefetch(codes + ahead + piece * quantised_rows<Bits>::bytes_of(quantised_piece));
            if constexpr (Bits == 4) {
                const __m256i bytes = load(codes + piece * 32), half = _mm256_set1_epi8(15);
                const __m256i low = _mm256_and_si256(bytes, half), high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
                for (std::size_t r = 0; r < R; ++r) {
                    const std::int8_t* const t = token + r * x.width + piece * quantised_piece;
                    const __m256i a = _mm256_madd_epi16(_mm256_maddubs_epi16(low, load(t)), ones), b = _mm256_madd_epi16(_mm256_maddubs_epi16(high, load(t + 32)), ones);
                    sums[r][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_broadcast_ss(&both[r][2 * piece]), sums[r][0]);
                    sums[r][1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(b), _mm256_broadcast_ss(&both[r][2 * piece + 1]), sums[r][1]);
                }
            } else {
                const __m256i low = load(codes + piece * 64), high = load(codes + piece * 64 + 32), low_size = _mm256_abs_epi8(low), high_size = _mm256_abs_epi8(high);
                for (std::size_t r = 0; r < R; ++r) {
                    const std::int8_t* const t = token + r * x.width + piece * quantised_piece;
                    const __m256i a = _mm256_maddubs_epi16(low_size, _mm256_sign_epi8(load(t), low)), b = _mm256_maddubs_epi16(high_size, _mm256_sign_epi8(load(t + 32), high));
                    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
                    sums[r][piece % 2] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_broadcast_ss(&both[r][piece]), sums[r][piece % 2]);
                }
            }
        }
        codes += quantised_rows<Bits>::bytes_of(Count * group);
        scales += Count;
        token += Count * group;
    }

    PALI_TARGET("avx2,fma")
    static inline __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

    /// `Count` numbers, then zeros.
    template <std::size_t Count>
    PALI_TARGET("avx2,fma")
    static inline __m256 load_floats(const float* from) noexcept {
        if constexpr (Count == 8) return _mm256_loadu_ps(from);
        alignas(32) float few[8] = {};
        std::memcpy(few, from, Count * sizeof(float));
        return _mm256_load_ps(few);
    }

    PALI_TARGET("avx2,fma")
    static inline float sum_of(__m256 x) noexcept {
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
    }
};

#endif

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
