// Attention over bfloat16 keys and values with tile registers: a step computes 16 queries by 64 keys, or 16 queries by 64 elements of the
// values.
#pragma once

#include <pali/arch/tiles.hpp>
#include <pali/kernels/attention/loop_keys.hpp>
#include <pali/kernels/product/loop_tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// The A operand is first the queries, then the softmax weights. The B operand is first a transposed block of keys, then the values. Keys
/// and values are stored interleaved in pairs, so nothing is repacked.
template <arch::tile_unit Tiles>
struct rows_tiles {
    using input = bfloat16;   ///< element type of the weights p
    using element = bfloat16; ///< element type of the rows of v

    /// Rounds n weights to bfloat16 (nearest even) and zero-pads them to whole steps of 32. May be in place: a packed weight takes half
    /// the space of a float.
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

    /// Owns the tile registers of the calling thread during its lifetime.
    class weigher {
    public:
        static constexpr std::size_t queries_a_block =
            2 * tile_detail::tile_rows; ///< two tiles: a block of keys and values is read once per tile, the second time from L1
        static constexpr std::size_t rows_at_once = tile_detail::tile_rows; ///< rows of p and y accessed together, even past the last row

        /// Floats of scratch that an object needs for rows of v of a given width.
        [[nodiscard]] static constexpr std::size_t floats(std::size_t width) noexcept { return pairs_a_step * width; }
        /// Configures the tiles. Only this object may use `memory` during its lifetime.
        explicit weigher(float* memory) noexcept : m_last_step(reinterpret_cast<bfloat16*>(memory)) {
            Tiles::configure(tile_detail::whole_tiles);
        }
        ~weigher() { Tiles::release(); }
        weigher(const weigher&) = delete;
        weigher& operator=(const weigher&) = delete;

        /// Computes y = y · decay + p · v for p (T, J) from pack(), v (J, y.width) and y (T, y.width). y.width must be a multiple of 16.
        /// Without decay, y = p · v.
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
            const bfloat16* last_step; ///< the remaining rows, zero-padded to a step; or null
        };

        /// Copies rows [begin, end) of v, which are less than a step, and zero-pads them to a step. The memory after them may hold NaN or
        /// infinity, which a weight of zero would not cancel.
        const bfloat16* last_step(const paired_rows<bfloat16>& v, std::size_t begin, std::size_t end) const noexcept {
            const std::size_t there = (end - begin) / 2 * 2 * v.width;
            std::memcpy(m_last_step, v.data + begin * v.width, there * sizeof(bfloat16));
            std::fill(m_last_step + there, m_last_step + 2 * pairs_a_step * v.width, bfloat16{});
            if ((end - begin) % 2 != 0)
                for (std::size_t c = 0; c < v.width; ++c) m_last_step[there + 2 * c] = v.at(end - 1, c);
            return m_last_step;
        }

        /// Computes 16 rows from row r and C tiles of columns from column c: one tile of p is multiplied by C tiles of v.
        template <int C>
        static void add(const operands& of, std::size_t r, std::size_t c, const float* decay, rows<float> y) noexcept {
            const auto sums = [&](int tile) { return y[r] + c + static_cast<std::size_t>(tile) * tile_detail::tile_rows; };
            const std::size_t y_stride = y.stride * sizeof(float), p_stride = of.p.stride * sizeof(bfloat16),
                              row = 2 * of.v.width; // elements of a pair of rows
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
