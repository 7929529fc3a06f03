// Attention over keys and values in bfloat16 by tile registers: 16 queries against 64 keys, or 64 numbers of values, at once.
#pragma once

#include <pali/arch/tiles.hpp>
#include <pali/kernels/attention/loop_keys.hpp>
#include <pali/kernels/product/loop_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Queries, and weights of values, are rows of a first operand of tiles; keys turned over, and values, both in pairs, are second operands
/// as they lie.
template <arch::tile_unit Tiles>
struct rows_tiles {
    using number = bfloat16;  ///< of weights
    using element = bfloat16; ///< of rows

    /// n weights, rounded to nearest even, with zeros up to whole steps of 32; may be done in place, where a weight takes half of its room.
    PALI_TARGET("avx2")
    static void pack(const float* p, std::size_t n, bfloat16* packed) noexcept {
        std::size_t j = 0;
        for (; j + 16 <= n; j += 16) round_sixteen(p + j, packed + j);
        if (j < n) {
            float rest[16] = {};
            std::memcpy(rest, p + j, (n - j) * sizeof(float));
            round_sixteen(rest, packed + j);
            j += 16;
        }
        for (; j % tile_detail::tile_inputs != 0; ++j) packed[j] = bfloat16{};
    }

    /// The tiles of the calling thread while the object exists.
    class weigher {
    public:
        static constexpr std::size_t queries_a_block =
            2 * tile_detail::tile_rows; ///< keys and values of a block are read twice, the second time from the first-level cache
        static constexpr std::size_t rows_at_once =
            tile_detail::tile_rows; ///< rows of p and y that are touched together, whether they are there or not

        /// Floats of memory that one needs for rows of v of such a width.
        [[nodiscard]] static constexpr std::size_t floats(std::size_t width) noexcept { return pairs_a_step * width; }
        /// `memory` is for it alone while it exists.
        explicit weigher(float* memory) noexcept : m_last_step(reinterpret_cast<bfloat16*>(memory)) {
            Tiles::configure(tile_detail::whole_tiles);
        }
        ~weigher() { Tiles::release(); }
        weigher(const weigher&) = delete;
        weigher& operator=(const weigher&) = delete;

        /// y = y · decay + p · v for p (T, J), as pack() makes it, v (J, y.width) and y (T, y.width), y.width a multiple of 16; y = p · v
        /// where there is no decay.
        void operator()(rows<const bfloat16> p, const paired_rows<bfloat16>& v, const float* decay, rows<float> y) const noexcept {
            PALI_ASSERT(v.width == y.width);
            const std::size_t whole = p.width / tile_detail::tile_inputs * tile_detail::tile_inputs;
            const operands of{p, v, whole, whole == p.width ? nullptr : last_step(v, whole, p.width)};
            for (std::size_t r = 0; decay && r < y.count; ++r)
                if (decay[r] != 1)
                    for (std::size_t c = 0; c < y.width; ++c) y[r][c] *= decay[r];
            for (std::size_t r = 0; r < p.count; r += rows_at_once) {
                std::size_t c = 0;
                for (; c + 4 * tile_detail::tile_rows <= y.width; c += 4 * tile_detail::tile_rows) add<4>(of, r, c, decay, y);
                for (; c < y.width; c += tile_detail::tile_rows) add<1>(of, r, c, decay, y);
            }
        }

    private:
        static constexpr std::size_t pairs_a_step = tile_detail::tile_inputs / 2;

        struct operands {
            rows<const bfloat16> p;
            paired_rows<bfloat16> v;
            std::size_t whole;         ///< rows of v in whole steps
            const bfloat16* last_step; ///< those behind them, with zeros up to a step; or null
        };

        /// Rows [begin, end) of v, fewer than a step: behind them may be anything, which a zero would not undo.
        const bfloat16* last_step(const paired_rows<bfloat16>& v, std::size_t begin, std::size_t end) const noexcept {
            const std::size_t there = (end - begin) / 2 * 2 * v.width;
            std::memcpy(m_last_step, v.data + begin * v.width, there * sizeof(bfloat16));
            std::fill(m_last_step + there, m_last_step + 2 * pairs_a_step * v.width, bfloat16{});
            if ((end - begin) % 2 != 0)
                for (std::size_t c = 0; c < v.width; ++c) m_last_step[there + 2 * c] = v.at(end - 1, c);
            return m_last_step;
        }

        /// 16 rows from row r on, C tiles of columns from column c on: one tile of p is multiplied by C of v.
        template <int C>
        static void add(const operands& of, std::size_t r, std::size_t c, const float* decay, rows<float> y) noexcept {
            const auto sums = [&](int tile) { return y[r] + c + static_cast<std::size_t>(tile) * tile_detail::tile_rows; };
            const std::size_t y_stride = y.stride * sizeof(float), p_stride = of.p.stride * sizeof(bfloat16),
                              row = 2 * of.v.width; // of a pair of rows
            const auto step = [&](std::size_t j, const bfloat16* v) PALI_ALWAYS_INLINE {
                Tiles::template load<4>(of.p[r] + j, p_stride);
                tile_detail::each_tile<C>([&](auto tile) {
                    Tiles::template load<5>(v + 2 * (c + static_cast<std::size_t>(tile()) * tile_detail::tile_rows),
                                            row * sizeof(bfloat16));
                    Tiles::template dot_bfloat16<tile(), 4, 5>();
                });
            };
            tile_detail::each_tile<C>(
                [&](auto tile) { decay ? Tiles::template load<tile()>(sums(tile()), y_stride) : Tiles::template zero<tile()>(); });
            for (std::size_t j = 0; j < of.whole; j += tile_detail::tile_inputs) step(j, of.v.data + j * of.v.width);
            if (of.last_step) step(of.whole, of.last_step);
            tile_detail::each_tile<C>([&](auto tile) { Tiles::template store<tile()>(sums(tile()), y_stride); });
        }

        bfloat16* m_last_step; ///< (16 pairs, width)
    };
};

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
