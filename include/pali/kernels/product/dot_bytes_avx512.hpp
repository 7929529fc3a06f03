// Dot products of tokens with quantized weights by AVX512-VNNI: byte kernels for up to eight tokens and for one.
#pragma once

#include <pali/kernels/product/dot_bytes_avx2.hpp>

#if defined(__x86_64__)

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

static_assert(quantized_rows<4>::group == 32 && quantized_rows<8>::group == 64,
              "a group of a token fills half a register for 4-bit weights and a whole one for 8-bit weights");

/**
 * Kernel for several tokens. Computes two strips at a time; lanes are the sixteen rows. VPDPBUSD adds four products of an unsigned and a
 * signed byte to each lane. Codes are made unsigned by an offset, which the initial values of the sums cancel (quantized_tokens::begins).
 * 32 registers hold the sums of eight tokens within a group and over groups, so codes are unpacked once for eight tokens. Needs
 * arch::features::avx512_vnni.
 */
struct dot_bytes_avx512 {
    static constexpr std::size_t strips = 2; ///< strips per call
    static constexpr std::size_t tokens = 8; ///< tokens per call, at most

    /// Same as dot_bytes_portable::dot(), for strips `i` and `second`.
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni")
    static void dot(const quantized_rows<Bits>& w, std::size_t i, std::size_t second, const quantized_tokens& x, std::size_t first,
                    float (&y)[R][strips * quantized_rows<Bits>::strip]) noexcept {
        using matrix = quantized_rows<Bits>;
        const std::uint8_t *a = w.codes_of(i), *b = w.codes_of(second);
        const bfloat16 *a_scales = w.scales_of(i), *b_scales = w.scales_of(second);
        const std::int8_t* activations = x.codes + first * x.width;
        const std::int32_t* begins = x.begins + first * x.groups;
        const float* scales = x.scales + first * x.groups;
        const std::ptrdiff_t ahead = w.codes_of(strips) - w.codes,
                             scales_ahead = w.scales_of(strips) - w.scales; // distance to the same group of the next strips
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
                    add(_mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80))), activations + 4 * R * v,
                        products); // flips the top bit, which gives code + 128, unsigned
                }
            }
            const __m512 scale = as_floats(a_scales, b_scales);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r)
                sums[r] = _mm512_fmadd_ps(__builtin_convertvector((int32_lanes)products[r], __m512),
                                          _mm512_mul_ps(scale, _mm512_set1_ps(scales[r])), sums[r]);
            a += matrix::group_bytes, b += matrix::group_bytes, a_scales += matrix::strip, b_scales += matrix::strip;
            activations += matrix::group * R, begins += R, scales += R;
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) _mm512_storeu_ps(y[r], sums[r]);
    }

private:
    // Vector extensions, used where the intrinsics of g++ 12 cause warnings.
    typedef std::uint16_t shorts __attribute__((vector_size(16), may_alias, aligned(1)));
    typedef std::int32_t int32_lanes __attribute__((vector_size(64)));
    typedef std::uint32_t words __attribute__((vector_size(64)));
    typedef long long half __attribute__((vector_size(32), may_alias, aligned(1)));

    /// Loads 32 bytes of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512i both(const void* a, const void* b) noexcept {
        return (__m512i)__builtin_shufflevector(*static_cast<const half*>(a), *static_cast<const half*>(b), 0, 1, 2, 3, 4, 5, 6, 7);
    }

    /// Loads eight scales of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512 as_floats(const bfloat16* a, const bfloat16* b) noexcept {
        const auto scales = __builtin_shufflevector(*reinterpret_cast<const shorts*>(a), *reinterpret_cast<const shorts*>(b), 0, 1, 2, 3, 4,
                                                    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return (__m512)(__builtin_convertvector(scales, words) << 16);
    }

    /// products[r] += weights · four elements of token r. Uses inline assembly, because g++ 12 would load and broadcast in a separate
    /// instruction.
    template <std::size_t R>
    PALI_TARGET("avx512f,avx512vnni")
    static inline void add(__m512i weights, const std::int8_t* activations, __m512i (&products)[R]) noexcept {
        struct four {
            std::int8_t activations[4];
        };
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            __asm__("vpdpbusd %2%{1to16%}, %1, %0"
                    : "+v"(products[r])
                    : "v"(weights), "m"(*reinterpret_cast<const four*>(activations + 4 * r)));
    }
};

/**
 * Kernel for one token, which is bound by memory bandwidth. The fewer instructions it has per cache line of codes, the more loads of later
 * lines fit in the out-of-order window. A register holds eight elements of each row of a strip, four in its lower half and four in its
 * upper half. The elements of the token are loaded once per group and permuted from that register. Needs arch::features::avx512_vnni.
 */
struct dot_bytes_avx512_token {
    static constexpr std::size_t strips = 1; ///< strips per call
    static constexpr std::size_t tokens = 1; ///< tokens per call

    /// Same as dot_bytes_portable::dot().
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static void dot(const quantized_rows<Bits>& w, std::size_t i, std::size_t, const quantized_tokens& x, std::size_t token,
                    float (&y)[R][quantized_rows<Bits>::strip]) noexcept {
        static_assert(R == 1, "one token at a time");
        using matrix = quantized_rows<Bits>;
        place at{w.codes_of(i), w.scales_of(i), x.codes + token * x.width, x.begins + token * x.groups, x.scales + token * x.groups};
        __m512i fours_of[matrix::group / 8];
        PALI_UNROLL
        for (std::size_t v = 0; v < matrix::group / 8; ++v) fours_of[v] = fours(2 * v);
        __m256 sums = _mm256_setzero_ps();
        std::size_t groups = x.groups;
        if constexpr (Bits == 4) // prefetches one line of the token per iteration, because long strips evict the token from L1
            PALI_NO_UNROLL
        for (; groups >= 2; groups -= 2) {
            __builtin_prefetch(at.activations + 128);
            sums = add_group<Bits>(at, fours_of, sums);
            sums = add_group<Bits>(at, fours_of, sums);
        }
        PALI_NO_UNROLL // clang would interleave two groups of 8-bit codes and so read two streams
            for (; groups != 0; --groups) sums = add_group<Bits>(at, fours_of, sums);
        _mm256_storeu_ps(y[0], sums);
    }

private:
    typedef std::int32_t int32_lanes __attribute__((vector_size(64)));

    /// Read position: the next group of a strip and of a token.
    struct place {
        const std::uint8_t* codes;
        const bfloat16* scales;
        const std::int8_t* activations;
        const std::int32_t* begins;
        const float* token_scales;
    };

    /// Returns `sums` plus the products of the group at `at` for each row, and advances `at`.
    template <std::size_t Bits, std::size_t Registers>
    PALI_TARGET("avx512f,avx512vnni,fma")
    PALI_ALWAYS_INLINE static inline __m256 add_group(place& at, const __m512i (&fours_of)[Registers], __m256 sums) noexcept {
        using matrix = quantized_rows<Bits>;
        constexpr std::size_t registers = matrix::group_bytes / 64;
        const __m512i group_activations = load<Bits>(at.activations);
        __m512i products = _mm512_maskz_set1_epi32(0x00ff, *at.begins);
        if constexpr (Bits == 4) {
            fetch_group(at.codes + groups_ahead * matrix::group_bytes, at.scales + groups_ahead * matrix::strip);
            __m512i sixteenfold = _mm512_setzero_si512(); // products of the high 4 bits of the bytes
            PALI_UNROLL
            for (std::size_t v = 0; v < registers; ++v) {
                products = _mm512_dpbusd_epi32(products, masked<0x0f>(at.codes + 64 * v), spread(group_activations, fours_of[v]));
                sixteenfold =
                    _mm512_dpbusd_epi32(sixteenfold, masked<0xf0>(at.codes + 64 * v), spread(group_activations, fours_of[registers + v]));
            }
            products = (__m512i)((int32_lanes)products + ((int32_lanes)sixteenfold >> 4));
        } else { // the hardware prefetcher keeps up with 8 bits
            PALI_UNROLL
            for (std::size_t v = 0; v < registers; ++v) {
                const __m512i unsigned_codes =
                    _mm512_xor_si512(_mm512_loadu_si512(at.codes + 64 * v), _mm512_set1_epi8(static_cast<char>(0x80)));
                products = _mm512_dpbusd_epi32(products, unsigned_codes, spread(group_activations, fours_of[v]));
            }
        }
        const auto lower = __builtin_shufflevector((int32_lanes)products, (int32_lanes)products, 0, 1, 2, 3, 4, 5, 6, 7);
        const auto upper = __builtin_shufflevector((int32_lanes)products, (int32_lanes)products, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m256 scale = _mm256_mul_ps(avx2_bytes::load_scales(at.scales), _mm256_set1_ps(*at.token_scales));
        at.codes += matrix::group_bytes, at.scales += matrix::strip, at.activations += matrix::group, ++at.begins, ++at.token_scales;
        return _mm256_fmadd_ps(__builtin_convertvector(lower + upper, __m256), scale, sums);
    }

    /// Prefetch distance in groups of 4-bit codes: 4 KB. With shorter or longer distances, or with prefetches to L2, a token took up to 1.2
    /// times as long in the layers of a 3B model (Zen 4).
    static constexpr std::size_t groups_ahead = 32;

    /// Prefetches codes and scales of a group into L1.
    PALI_ALWAYS_INLINE static void fetch_group(const std::uint8_t* codes, const bfloat16* scales) noexcept {
        for (std::size_t line = 0; line < quantized_rows<4>::group_bytes; line += 64) __builtin_prefetch(codes + line);
        __builtin_prefetch(scales);
    }

    /// Loads one group of activations; for 4-bit weights the 32 bytes are broadcast to both halves. Inline asm: otherwise clang uses the
    /// undefined upper half as an accumulator (a loop-carried dependency) and g++ 12 splits load and broadcast.
    template <std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i load(const std::int8_t* group) noexcept {
        if constexpr (Bits == 8) {
            return _mm512_loadu_si512(group);
        } else {
            struct half {
                std::int8_t activations[32];
            };
            __m512i result;
            __asm__("vbroadcasti64x4 %1, %0" : "=v"(result) : "m"(*reinterpret_cast<const half*>(group)));
            return result;
        }
    }

    /// Indices for spread(): 32-bit word `first` for the lanes of the lower half, the next word for those of the upper half.
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i fours(std::size_t first) noexcept {
        const int a = static_cast<int>(first), b = a + 1;
        return _mm512_set_epi32(b, b, b, b, b, b, b, b, a, a, a, a, a, a, a, a);
    }

    /// Broadcasts the words at `places` of a group to the lanes. Uses the masked intrinsic, because the unmasked one causes a warning in
    /// g++ 12.
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i spread(__m512i group, __m512i places) noexcept { return _mm512_maskz_permutexvar_epi32(0xffff, places, group); }

    /// Loads 64 bytes and applies `Mask`. Uses inline assembly, because compilers would load once for both masks, which takes one more
    /// instruction.
    template <int Mask>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i masked(const std::uint8_t* bytes) noexcept {
        struct line {
            std::uint8_t bytes[64];
        };
        __m512i result;
        __asm__("vpandd %2, %1, %0"
                : "=v"(result)
                : "v"(_mm512_set1_epi8(static_cast<char>(Mask))), "m"(*reinterpret_cast<const line*>(bytes)));
        return result;
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD

#endif
