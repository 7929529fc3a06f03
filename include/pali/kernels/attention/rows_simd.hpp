// y = y · decay + p · v on xsimd, used for both products of attention. Each lane accumulates its own sum, so no horizontal additions are
// needed.
#pragma once

#include <pali/kernels/attention/key_values.hpp>
#include <pali/kernels/product/dot_floats_simd.hpp>
#include <pali/kernels/register_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace detail {

/// Computes y = y · decay + p · v for any p (T, J), v (J, y.width) and y (T, y.width), in register tiles of `Rows`. y.width must be a
/// multiple of 16.
template <class Rows>
struct register_weigher {
    static constexpr std::size_t queries_a_block = 24; ///< queries that share each read of keys and values
    static constexpr std::size_t rows_at_once = 1;     ///< rows of p and y accessed together, even past the last row

    /// Floats of scratch that an object needs for rows of v of a given width.
    [[nodiscard]] static constexpr std::size_t floats(std::size_t) noexcept { return 0; }
    explicit register_weigher(float*) noexcept {}

    void operator()(rows<const typename Rows::input> p, const paired_rows<typename Rows::element>& v, const float* decay,
                    rows<float> y) const noexcept {
        constexpr std::size_t lanes = Rows::lanes, pair = paired_rows<typename Rows::element>::pair;
        for_row_tiles<6>(p.count, [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R>) {
            for_column_tiles<Rows::template columns<R>>(
                y.width / lanes, [&]<std::size_t C>(std::size_t c, std::integral_constant<std::size_t, C>) {
                    const std::size_t first = c * lanes;
                    Rows::template tile<R, C>(p.slice(r, R), {v.data + first * pair, v.width}, decay ? decay + r : nullptr,
                                              rows<float>(y[r] + first, R, C * lanes, y.stride));
                });
        });
    }
};

} // namespace detail

/// Weighted sums of rows on xsimd: weights stay float32, rows of type `Element` are widened to float32.
template <class A, weight_element Element>
struct rows_simd {
    using input = float;                                       ///< element type of the weights p
    using element = Element;                                   ///< element type of the rows of v
    using weigher = detail::register_weigher<rows_simd>;       ///< multiplies matrices of any size in register tiles
    static constexpr std::size_t lanes = arch::simd<A>::lanes; ///< floats of a register of sums
    /// Columns of a tile of R rows, in registers.
    template <std::size_t R>
    static constexpr std::size_t columns = arch::simd<A>::registers == 32 || R < 4 ? 4 : 2;

    /// Copies n weights to where tile() reads them; may be in place.
    static void pack(const float* p, std::size_t n, float* packed) noexcept {
        if (p != packed) std::copy(p, p + n, packed);
    }

    /// Computes y[r][c] = y[r][c] · decay[r] + sum over j of p[r][j] · v[j][c], for R rows and C registers of columns. Without decay, y is
    /// the sum alone. Each sum adds its terms one by one in the order of j, for any R and C.
    template <std::size_t R, std::size_t C>
    static void tile(rows<const float> p, const paired_rows<Element>& v, const float* decay, rows<float> y) noexcept {
        using batch = xsimd::batch<float, A>;
        constexpr std::size_t pair = paired_rows<Element>::pair;
        // With few rows of p, the loop is bound by memory bandwidth. With 512-bit registers, v streams at 25 GB/s per core (Zen 4) if it is
        // a memory operand of each FMA, and at 21 GB/s if it is held in registers, as clang would do. With 256-bit registers, the repeated
        // loads would take a fifth longer if v is in cache.
        constexpr bool each_reads = R < 6 && pair == 1 && lanes == 16;
        batch sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c) sums[r][c] = decay ? batch::load_aligned(y[r] + c * lanes) * batch(decay[r]) : batch(0.f);
        const float* weights[R];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            weights[r] = p[r];
            PALI_WORKED_OUT(weights[r]);
        }
        const auto add = [&]<std::size_t Half>(std::size_t j, std::integral_constant<std::size_t, Half>) PALI_ALWAYS_INLINE {
            const Element* const row = v.data + j * v.width; // or the pair of interleaved rows, of which `Half` selects one
            batch values[C];
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                if (r == 0 || each_reads) {
                    if constexpr (each_reads) PALI_READ_AGAIN;
                    PALI_UNROLL
                    for (std::size_t c = 0; c < C; ++c) values[c] = dot_detail::load_half<Half>(arch::simd<A>{}, row + c * lanes * pair);
                }
                batch weight(weights[r][j + Half]);
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) sums[r][c] = arch::fma(weight, values[c], sums[r][c]);
            }
        };
        const std::size_t whole = p.width / pair * pair;
        PALI_NO_UNROLL
        for (std::size_t j = 0; j < whole; j += pair) {
            PALI_UNROLL // prefetches the keys or values that follow v in memory, each cache line once
                for (std::size_t c = 0; c < C; c += std::max<std::size_t>(1, 16 / lanes))
                    arch::fetch_ahead(v.data + (j + p.width) * v.width + c * lanes * pair);
            add(j, std::integral_constant<std::size_t, 0>{});
            if constexpr (pair == 2) {
                if constexpr (R * C >= 12) PALI_READ_AGAIN;
                add(j, std::integral_constant<std::size_t, 1>{});
            }
        }
        if (whole != p.width) add(whole, std::integral_constant<std::size_t, 0>{});
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) PALI_UNROLL
        for (std::size_t c = 0; c < C; ++c) sums[r][c].store_aligned(y[r] + c * lanes);
    }
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
