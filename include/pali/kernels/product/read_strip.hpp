// Dequantizes a strip of weights to bfloat16, for products of many rows.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/quantized_rows.hpp>
#include <pali/core/rows.hpp>
#include <pali/kernels/eight_floats.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Dequantizes elements [begin, begin + to.width) of the eight rows of strip `i` into `to`. `begin` and to.width must be multiples of the
/// group. Rounds to nearest even, with an average error of 2^-9 of the element. The error of the code itself is 2^-5 (4 bits) or 2^-9 (8
/// bits) of the largest element of its group.
template <std::size_t Bits>
void read_strip(const quantized_rows<Bits>& w, std::size_t i, std::size_t begin, rows<bfloat16> to) noexcept {
    using matrix = quantized_rows<Bits>;
    constexpr std::size_t in_bytes = matrix::group_bytes / matrix::strip; // bytes of one row in a group; a byte holds one element or two
    const std::uint8_t* codes = w.codes_of(i) + matrix::strip * matrix::bytes_of(begin);
    const bfloat16* scales = w.scales_of(i) + matrix::strip * (begin / matrix::group);
    PALI_ASSERT(begin % matrix::group == 0 && to.width % matrix::group == 0);
    std::int8_t decoded[matrix::group_bytes], row[matrix::strip][matrix::group];
    const auto sort = [&](std::size_t first) { // de-interleaves: four bytes of each row in turn -> rows
        for (std::size_t r = 0; r < matrix::strip; ++r)
            for (std::size_t k = 0; k < in_bytes; k += 4) std::memcpy(row[r] + first + k, decoded + matrix::byte_in_group(r, k), 4);
    };
    for (std::size_t at = 0; at < to.width; at += matrix::group, codes += matrix::group_bytes, scales += matrix::strip) {
        if constexpr (Bits == 8) {
            std::memcpy(decoded, codes, sizeof decoded);
            sort(0);
        } else {
            for (std::size_t j = 0; j < sizeof decoded; ++j) decoded[j] = static_cast<std::int8_t>((codes[j] & 15) - 8);
            sort(0);
            for (std::size_t j = 0; j < sizeof decoded; ++j) decoded[j] = static_cast<std::int8_t>((codes[j] >> 4) - 8);
            sort(in_bytes);
        }
        for (std::size_t r = 0; r < matrix::strip; ++r) {
            const float scale = static_cast<float>(scales[r]);
            bfloat16* const out = to[r] + at;
            for (std::size_t k = 0; k < matrix::group; ++k) { // has no branch for NaN, so that the loop vectorizes
                const auto bits = std::bit_cast<std::uint32_t>(scale * static_cast<float>(row[r][k]));
                out[k].bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
            }
        }
    }
}

namespace strip_detail {

typedef std::int32_t eight_integers __attribute__((vector_size(32)));
typedef std::uint16_t eight_scales __attribute__((vector_size(16)));

/// Dequantizes byte `i` of each of eight words: its upper `Bits` bits are a signed code. Returns the bits of a float, rounded so that the
/// upper half is a bfloat16.
template <std::size_t Bits>
PALI_TARGET("avx2")
PALI_ALWAYS_INLINE inline eight_words decode_byte(eight_words codes, std::uint32_t i, eight_floats scale) noexcept {
    const eight_integers code = reinterpret_cast<eight_integers>(codes << (24 - 8 * i)) >> static_cast<int>(32 - Bits);
    return rounded_up_half(__builtin_convertvector(code, eight_floats) * scale);
}

/// Dequantizes 16 elements of each of eight rows. Each of the four consecutive registers holds four bytes of each row.
template <std::size_t Bits>
PALI_TARGET("avx2")
PALI_ALWAYS_INLINE
    inline void decode_sixteen(const eight_words (&codes)[4], eight_floats scale, const rows<bfloat16>& to, std::size_t at) noexcept {
    eight_floats pairs[8]; // a lane holds two elements of one row
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
#pragma GCC unroll 2
        for (std::uint32_t half = 0; half < 2; ++half)
            pairs[2 * j + half] = reinterpret_cast<eight_floats>((decode_byte<Bits>(codes[j], 2 * half, scale) >> 16) |
                                                                 (decode_byte<Bits>(codes[j], 2 * half + 1, scale) & 0xffff0000u));
    transpose(pairs);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < 8; ++r) *reinterpret_cast<eight_floats_in_memory*>(to[r] + at) = pairs[r];
}

} // namespace strip_detail

/// read_strip() with AVX2.
template <std::size_t Bits>
PALI_TARGET("avx2")
void read_strip_avx2(const quantized_rows<Bits>& w, std::size_t i, std::size_t begin, rows<bfloat16> to) noexcept {
    using matrix = quantized_rows<Bits>;
    static_assert(matrix::group == (Bits == 4 ? 32 : 64), "a 4-bit group is two halves of 16 elements, an 8-bit group four times 16");
    PALI_ASSERT(begin % matrix::group == 0 && to.width % matrix::group == 0);
    const std::uint8_t* codes = w.codes_of(i) + matrix::strip * matrix::bytes_of(begin);
    const bfloat16* scales = w.scales_of(i) + matrix::strip * (begin / matrix::group);
    for (std::size_t at = 0; at < to.width; at += matrix::group, scales += matrix::strip) {
        strip_detail::eight_scales upper;
        std::memcpy(&upper, scales, sizeof upper);
        const auto scale = reinterpret_cast<eight_floats>(__builtin_convertvector(upper, eight_words) << 16);
        for (std::size_t k = 0; k < matrix::group; k += std::size_t{16} * 8 / Bits) {
            eight_words line[4];
#pragma GCC unroll 4
            for (std::size_t j = 0; j < 4; ++j, codes += sizeof line[j]) std::memcpy(&line[j], codes, sizeof line[j]);
            if constexpr (Bits == 8) strip_detail::decode_sixteen<8>(line, scale, to, at + k);
            else {
#pragma GCC unroll 4
                for (std::size_t j = 0; j < 4; ++j) line[j] ^= 0x88888888u; // flips each top bit: code + 8 -> two's complement
                strip_detail::decode_sixteen<4>(line, scale, to, at + 16);
#pragma GCC unroll 4
                for (std::size_t j = 0; j < 4; ++j) line[j] <<= 4;
                strip_detail::decode_sixteen<4>(line, scale, to, at);
            }
        }
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
