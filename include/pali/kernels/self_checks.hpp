// Self-checks of kernels that have never been tested on the processors for which they are written.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/kernels/attention/rows_tiles.hpp>
#include <pali/kernels/product/dot_bytes_avx2.hpp>
#include <pali/kernels/product/dot_bytes_portable.hpp>
#include <pali/kernels/product/loop_tiles.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace self_check {

/// Small integers, which are exact in bfloat16 and in bytes. Their sums are exact in float32, so a correct kernel gives the same bits in
/// any order of summation.
[[nodiscard]] inline float whole(std::size_t i) noexcept { return static_cast<float>(i * 37 % 15) - 7.f; }

/// Whether `Tiles` multiplies as TDPBF16PS is documented. Computes a product of 20 tokens, 40 outputs and 72 inputs, which uses every tile
/// register and partial tiles, and the p · v step of attention.
template <arch::tile_unit Tiles>
[[nodiscard]] bool tiles_multiply() {
    constexpr std::size_t tokens = 20, outputs = 40, inputs = 72;
    alignas(64) std::array<float, tokens * inputs> x;
    alignas(64) std::array<bfloat16, outputs * inputs> w;
    alignas(64) std::array<float, tokens * outputs> y{};
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = whole(i);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = bfloat16(whole(3 * i + 1));
    thread_pool caller(1);
    arena scratch;
    loop_tiles(
        Tiles{}, rows<const float>(x.data(), tokens, inputs),
        {operand{rows<const bfloat16>(w.data(), outputs, inputs), nullptr, rows<float>(y.data(), tokens, outputs)}},
        [](const auto& weights) { return stored_panels{weights}; }, caller, scratch);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t n = 0; n < outputs; ++n) {
            float sum = 0;
            for (std::size_t k = 0; k < inputs; ++k) sum += x[t * inputs + k] * static_cast<float>(w[n * inputs + k]);
            if (y[t * outputs + n] != sum) return false;
        }

    constexpr std::size_t queries = 16, terms = 33, width = 80, stride = 64;
    alignas(64) std::array<bfloat16, queries * stride> p;
    alignas(64) std::array<bfloat16, (terms + 1) * width> v;
    alignas(64) std::array<float, queries * width> sums{};
    alignas(64) std::array<float, rows_tiles<Tiles>::weigher::floats(width)> memory;
    std::fill(v.begin(), v.end(), bfloat16{});
    const paired_rows<bfloat16> values{v.data(), width};
    for (std::size_t j = 0; j < terms; ++j)
        for (std::size_t c = 0; c < width; ++c) values.at(j, c) = bfloat16(whole(5 * j + c));
    for (std::size_t q = 0; q < queries; ++q) {
        std::array<float, terms> row;
        for (std::size_t j = 0; j < terms; ++j) row[j] = whole(q + 2 * j);
        rows_tiles<Tiles>::pack(row.data(), terms, p.data() + q * stride);
    }
    {
        const typename rows_tiles<Tiles>::weigher weigh(memory.data());
        weigh(rows<const bfloat16>(p.data(), queries, terms, stride), values, nullptr, rows<float>(sums.data(), queries, width));
    }
    for (std::size_t q = 0; q < queries; ++q)
        for (std::size_t c = 0; c < width; ++c) {
            float sum = 0;
            for (std::size_t j = 0; j < terms; ++j) sum += whole(q + 2 * j) * static_cast<float>(values.at(j, c));
            if (sums[q * width + c] != sum) return false;
        }
    return true;
}

/// Whether `Dot` multiplies codes of `Bits` bits as dot_bytes_portable does, in tiles of one and of four tokens.
template <class Dot, std::size_t Bits>
[[nodiscard]] bool codes_multiply() noexcept {
    using matrix = quantized_rows<Bits>;
    constexpr std::size_t groups = 2, width = groups * matrix::group, tokens = 4;
    alignas(64) std::array<std::uint8_t, groups * matrix::group_bytes> codes;
    alignas(64) std::array<std::int8_t, tokens * width> activations;
    std::array<bfloat16, groups * matrix::strip> scales;
    std::array<float, tokens * groups> token_scales;
    std::array<std::int32_t, tokens * groups> begins;
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::uint8_t>(Bits == 8 ? static_cast<int>(i * 89 % 255) - 127 : static_cast<int>(i * 89 % 256));
    for (std::size_t i = 0; i < activations.size(); ++i) activations[i] = static_cast<std::int8_t>(static_cast<int>(i * 53 % 255) - 127);
    std::fill(scales.begin(), scales.end(), bfloat16(1.f));
    std::fill(token_scales.begin(), token_scales.end(), 1.f);
    const matrix w{codes.data(), scales.data(), matrix::strip, width};
    const auto is_right = [&]<std::size_t R>(std::integral_constant<std::size_t, R>) {
        for (std::size_t g = 0; g < groups; ++g)
            for (std::size_t r = 0; r < R; ++r) {
                std::int32_t sum = 0;
                for (std::size_t k = 0; k < matrix::group; ++k) sum += activations[(g * matrix::group + k / 4 * 4) * R + 4 * r + k % 4];
                begins[g * R + r] = (Bits == 4 ? -8 : -128) * sum;
            }
        const quantized_tokens x{
            .codes = activations.data(), .scales = token_scales.data(), .begins = begins.data(), .width = width, .groups = groups};
        float got[R][matrix::strip], want[R][matrix::strip];
        Dot::dot(w, 0, 0, x, 0, got);
        dot_bytes_portable::dot(w, 0, 0, x, 0, want);
        return std::equal(&got[0][0], &got[0][0] + R * matrix::strip, &want[0][0]);
    };
    return is_right(std::integral_constant<std::size_t, 1>{}) && is_right(std::integral_constant<std::size_t, 4>{});
}

/// Returns `found` without the extensions whose kernels fail their check.
template <class Tiles, class VnniDot>
[[nodiscard]] arch::features without_wrong(arch::features found) {
    if (found.amx_bf16) found.amx_bf16 = tiles_multiply<Tiles>();
    if (found.avx_vnni) found.avx_vnni = codes_multiply<VnniDot, 8>() && codes_multiply<VnniDot, 4>();
    return found;
}

} // namespace self_check

/// The extensions in use, without those whose kernels fail their self-check. Only AMX and AVX-VNNI are checked, because none of the
/// development machines has them. The check runs once, on the first call, and takes microseconds. Throws what arch::in_use() throws, and
/// std::bad_alloc.
[[nodiscard]] inline const arch::features& usable() {
#if PALI_AVX512_KERNELS
    static const arch::features found = self_check::without_wrong<arch::amx_tiles, dot_bytes_vnni>(arch::in_use());
#elif PALI_AVX2_KERNELS
    static const arch::features found = [] {
        arch::features with = arch::in_use(); // AMX kernels are not compiled at this level
        if (with.avx_vnni)
            with.avx_vnni = self_check::codes_multiply<dot_bytes_vnni, 8>() && self_check::codes_multiply<dot_bytes_vnni, 4>();
        return with;
    }();
#else
    static const arch::features found = arch::in_use();
#endif
    return found;
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
