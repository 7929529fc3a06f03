// GEMM y = x · wᵀ + bias for many rows with tile registers: Intel AMX, or any other type that implements its instructions.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/arch/tiles.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/eight_floats.hpp>
#include <pali/kernels/product/operand.hpp>
#include <pali/kernels/product/read_strip.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Source of the weights, panel by panel. panel(first, begin, room) returns elements [begin, begin + room.width) of outputs [first, first +
/// room.count) as bfloat16, either in place or decoded into `room`. Threads call it concurrently; it must not throw.
template <class Weights>
concept panel_source = requires(const Weights& weights, std::size_t n, rows<bfloat16> room) {
    { weights.count() } -> std::convertible_to<std::size_t>; // outputs
    { weights.width() } -> std::convertible_to<std::size_t>; // inputs
    { weights.panel(n, n, room) } -> std::convertible_to<rows<const bfloat16>>;
};

/// Weights stored as bfloat16.
struct stored_panels {
    rows<const bfloat16> matrix; ///< (N, K)

    [[nodiscard]] std::size_t count() const noexcept { return matrix.count; } ///< N
    [[nodiscard]] std::size_t width() const noexcept { return matrix.width; } ///< K
    /// Returns a view of the stored weights; zero-copy.
    [[nodiscard]] rows<const bfloat16> panel(std::size_t first, std::size_t begin, rows<bfloat16> room) const noexcept {
        return {matrix[first] + begin, room.count, room.width, matrix.stride};
    }
};

/// Quantized weights.
template <std::size_t Bits>
struct quantized_panels {
    const quantized_rows<Bits>& matrix; ///< (N, K); not owned

    [[nodiscard]] std::size_t count() const noexcept { return matrix.count; } ///< N
    [[nodiscard]] std::size_t width() const noexcept { return matrix.width; } ///< K
    /// Dequantizes whole groups of whole strips into `room`.
    [[nodiscard]] rows<const bfloat16> panel(std::size_t first, std::size_t begin, rows<bfloat16> room) const noexcept {
        constexpr std::size_t strip = quantized_rows<Bits>::strip;
        PALI_ASSERT(first % strip == 0 && room.count % strip == 0);
        for (std::size_t i = 0; i < room.count; i += strip) read_strip_avx2(matrix, (first + i) / strip, begin, room.slice(i, strip));
        return room;
    }
};

namespace tile_detail {

inline constexpr std::size_t tile_rows = 16;                // outputs of a tile of weights, tokens of a tile of activations
inline constexpr std::size_t tile_inputs = 32;              // elements of a row of weights per step
inline constexpr std::size_t tile_lanes = tile_rows * 16;   // 32-bit words of a tile
inline constexpr std::size_t tile_stride = 64;              // bytes of a row of a contiguous tile
inline constexpr std::size_t panel_outputs = 2 * tile_rows; // 2 x 2 register block: each tile is loaded once for two products

/// Transposes a tile of 16 x 16 32-bit words to rows that are `stride` floats apart. If `Adds`, to[i][j] = from[j][i] + bias[j]; otherwise
/// the bits are unchanged.
template <bool Adds>
PALI_TARGET("avx2")
inline void transpose_tile(const void* from, float* to, std::size_t stride, const float* bias = nullptr) noexcept {
    const auto* const source = static_cast<const float*>(from);
    for (std::size_t column = 0; column < 16; column += 8) // writes whole cache lines of `to`
        for (std::size_t row = 0; row < 16; row += 8) {
            eight_floats block[8];
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i)
                block[i] = *reinterpret_cast<const eight_floats_in_memory*>(source + (row + i) * 16 + column);
            transpose(block);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) {
                if constexpr (Adds) block[i] += *reinterpret_cast<const eight_floats_in_memory*>(bias + row);
                *reinterpret_cast<eight_floats_in_memory*>(to + (column + i) * stride + row) = block[i];
            }
        }
}

/// Activations as the B operand: tiles of 16 pairs (rows) x 16 tokens, zero-padded after the last element and the last token.
struct packed_tokens {
    float* tiles = nullptr; ///< two bfloat16 per float; (token tiles, steps, 16, 16)
    std::size_t count = 0;  ///< tokens
    std::size_t steps = 0;

    [[nodiscard]] float* tile(std::size_t token_tile, std::size_t step) const noexcept {
        return tiles + (token_tile * steps + step) * tile_lanes;
    }
};

/// Rounds and packs steps [first, last) of one token tile. A row of the tile holds one pair of elements of each of 16 tokens, so the
/// tokens' rows are transposed in units of pairs.
PALI_TARGET("avx2")
inline void pack_tokens(rows<const float> x, const packed_tokens& to, std::size_t token_tile, std::size_t first,
                        std::size_t last) noexcept {
    alignas(64) bfloat16 rounded[tile_rows][tile_inputs] = {};
    const std::size_t tokens = std::min(tile_rows, x.count - token_tile * tile_rows);
    for (std::size_t step = first; step < last; ++step) {
        const std::size_t k = step * tile_inputs, width = std::min(tile_inputs, x.width - k);
        if (width < tile_inputs)
            for (auto& row : rounded) std::fill(std::begin(row), std::end(row), bfloat16{});
        for (std::size_t t = 0; t < tokens; ++t) {
            const float* const row = x[token_tile * tile_rows + t] + k;
            if (width == tile_inputs)
                for (std::size_t i = 0; i < tile_inputs; i += 16) round_sixteen(row + i, rounded[t] + i);
            else
                for (std::size_t i = 0; i < width; ++i) rounded[t][i] = bfloat16(row[i]);
        }
        transpose_tile<false>(rounded, to.tile(token_tile, step), tile_rows);
    }
}

/// Cache blocking of a task. Processors with tiles have at least 2 MiB of L2 per core. One K-block of the tokens takes up to 3/4 MiB of it,
/// and the sums of all panels up to 1/2 MiB. The rest is for weights.
struct tile_blocking {
    std::size_t panels; ///< panels per task
    std::size_t tiles;  ///< token tiles per block
    std::size_t steps;  ///< steps per K-block

    /// Splits the work into equal shares, with at least four tasks per thread, so that other threads can take over tasks of a slow one.
    tile_blocking(std::size_t outputs, const packed_tokens& x, std::size_t threads) noexcept {
        const auto pieces = [](std::size_t n, std::size_t most) { return std::max<std::size_t>(1, (n + most - 1) / most); };
        const auto even = [&](std::size_t n, std::size_t most) {
            return std::max<std::size_t>(2, (pieces(n, pieces(n, most)) + 1) / 2 * 2);
        }; // always even: a group of quantized weights may have two steps
        const std::size_t all = pieces(outputs, panel_outputs);
        panels = pieces(all, threads * std::max<std::size_t>(4, pieces(all, threads * 8)));
        tiles = even(pieces(x.count, tile_rows), 32);
        steps = even(x.steps, 768 / tiles);
    }
    /// Floats of one K-block of a panel.
    [[nodiscard]] std::size_t panel_floats() const noexcept { return 2 * steps * tile_lanes; }
    /// Floats of the sums of a task.
    [[nodiscard]] std::size_t sum_floats() const noexcept { return 2 * panels * tiles * tile_lanes; }
};

/// Tiles 0 to 3 are sums (outputs, tokens), 4 and 5 weights (outputs, elements), 6 and 7 activations (pairs, tokens).
inline constexpr arch::tile_shapes whole_tiles = [] {
    arch::tile_shapes shapes;
    for (std::size_t tile = 0; tile < 8; ++tile) {
        shapes.row_count[tile] = tile_rows;
        shapes.row_bytes[tile] = tile_stride;
    }
    return shapes;
}();

/// Calls act(integral_constant) for tiles 0 to N - 1.
template <int N, class Act>
PALI_ALWAYS_INLINE inline void each_tile(Act&& act) noexcept {
    [&]<int... Tile>(std::integer_sequence<int, Tile...>)
        PALI_ALWAYS_INLINE { (act(std::integral_constant<int, Tile>{}), ...); }(std::make_integer_sequence<int, N>{});
}

/// Adds one K-block of the products of two weight tiles and B token tiles to `sums` (B, 2, 16, 16). If `begins`, the sums start at zero.
template <arch::tile_unit Tiles, int B>
inline void add_part(rows<const bfloat16> w, const float* tokens, std::size_t next_tile, bool begins, float* sums) noexcept {
    each_tile<2 * B>([&](auto tile) {
        begins ? Tiles::template zero<tile()>() : Tiles::template load<tile()>(sums + tile() * tile_lanes, tile_stride);
    });
    const std::size_t stride = w.stride * sizeof(bfloat16); // local copies, because tile loads clobber memory, so members would be reloaded
    const bfloat16 *upper = w.data, *lower = w[tile_rows];
    for (std::size_t steps = w.width / tile_inputs; steps != 0; --steps, upper += tile_inputs, lower += tile_inputs, tokens += tile_lanes) {
        Tiles::template load<4>(upper, stride);
        Tiles::template load<6>(tokens, tile_stride);
        Tiles::template dot_bfloat16<0, 4, 6>();
        Tiles::template load<5>(lower, stride);
        Tiles::template dot_bfloat16<1, 5, 6>();
        if constexpr (B == 2) {
            Tiles::template load<7>(tokens + next_tile, tile_stride);
            Tiles::template dot_bfloat16<2, 4, 7>();
            Tiles::template dot_bfloat16<3, 5, 7>();
        }
    }
    each_tile<2 * B>([&](auto tile) { Tiles::template store<tile()>(sums + tile() * tile_lanes, tile_stride); });
}

/// Writes a tile of sums to the rows of y that start at `y`, transposed, with the bias if there is one.
PALI_TARGET("avx2")
inline void write_tile(const float* sums, const float* bias, std::size_t outputs, std::size_t tokens, float* y,
                       std::size_t stride) noexcept {
    float added[tile_rows] = {};
    if (bias) std::copy_n(bias, outputs, added);
    if (outputs == tile_rows && tokens == tile_rows) return transpose_tile<true>(sums, y, stride, added);
    alignas(64) float turned[tile_rows][tile_rows];
    transpose_tile<true>(sums, turned[0], tile_rows, added);
    for (std::size_t t = 0; t < tokens; ++t) std::memcpy(y + t * stride, turned[t], outputs * sizeof(float));
}

/// Writes the sums of add_part(), for outputs [first, first + n) and token tiles [begin, end), to y.
PALI_TARGET("avx2")
inline void write_sums(const float* sums, const float* bias, std::size_t first, std::size_t n, std::size_t begin, std::size_t end,
                       rows<float> y) noexcept {
    for (std::size_t tile = begin; tile < end; ++tile)
        for (std::size_t output = 0; output < panel_outputs; output += tile_rows, sums += tile_lanes) {
            if (output >= n) continue;
            const std::size_t token = tile * tile_rows, at = first + output;
            write_tile(sums, bias ? bias + at : nullptr, std::min(tile_rows, n - output), std::min(tile_rows, y.count - token),
                       y[token] + at, y.stride);
        }
}

/// Returns `steps` steps of 32 outputs from element `begin` on. An incomplete panel is copied to `room`, with zeros after the last input.
/// Rows after the last output are left uninitialized: their sums are discarded.
template <panel_source Weights>
rows<const bfloat16> whole_panel(const Weights& weights, std::size_t first, std::size_t n, std::size_t begin, std::size_t steps,
                                 bfloat16* room) noexcept {
    const rows<bfloat16> whole(room, panel_outputs, steps * tile_inputs);
    const std::size_t inputs = std::min(weights.width() - begin, whole.width);
    const rows<const bfloat16> there = weights.panel(first, begin, {room, n, inputs, whole.width});
    if (n == whole.count && inputs == whole.width) return there;
    for (std::size_t i = 0; i < n; ++i) {
        if (there.data != room) std::memcpy(whole[i], there[i], inputs * sizeof(bfloat16));
        std::fill(whole[i] + inputs, whole[i] + whole.width, bfloat16{});
    }
    return whole;
}

/// Computes outputs [first, first + count) of all tokens. `room` holds this thread's weights and sums.
template <arch::tile_unit Tiles, panel_source Weights>
void multiply_outputs(const Weights& weights, std::size_t first, std::size_t count, const packed_tokens& x, const tile_blocking& cut,
                      const float* bias, rows<float> y, float* room) noexcept {
    const std::size_t tiles = (x.count + tile_rows - 1) / tile_rows,
                      parts = std::max<std::size_t>(1, (x.steps + cut.steps - 1) / cut.steps);
    Tiles::configure(whole_tiles);
    for (std::size_t begin = 0; begin < tiles; begin += cut.tiles)
        for (std::size_t part = 0; part < parts; ++part)
            for (std::size_t panel = 0; panel * panel_outputs < count; ++panel) {
                const std::size_t at = first + panel * panel_outputs, n = std::min(panel_outputs, first + count - at),
                                  step = part * cut.steps;
                const auto w =
                    whole_panel(weights, at, n, step * tile_inputs, std::min(cut.steps, x.steps - step), reinterpret_cast<bfloat16*>(room));
                float* const sums = room + cut.panel_floats() + 2 * panel * cut.tiles * tile_lanes;
                const std::size_t end = std::min(tiles, begin + cut.tiles);
                for (std::size_t t = begin; t < end; t += 2) {
                    float* const mine = sums + 2 * (t - begin) * tile_lanes;
                    if (t + 1 < end) add_part<Tiles, 2>(w, x.tile(t, step), x.steps * tile_lanes, part == 0, mine);
                    else add_part<Tiles, 1>(w, x.tile(t, step), 0, part == 0, mine);
                    if (part + 1 == parts) write_sums(mine, bias, at, n, t, std::min(t + 2, end), y);
                }
            }
    Tiles::release();
}

} // namespace tile_detail

/**
 * Computes y = x · wᵀ + bias for each operand. x is (T, K) float32, rounded to bfloat16; source(weights) is the panel_source for w (N, K).
 * Accumulates in float32, 16 pairs per step. The order of each sum depends on K alone, so the result does not depend on T or on the number
 * of threads. The result differs from that of dot_floats_simd, which does not round x. Denormals count as zero.
 *
 * Cost: 2·T·N·K flop, with T padded to tiles of 16 and N to panels of 32. Weights are read from memory once per 512 tokens, and tokens once
 * per task. Weights are read from L2 once per 32 tokens, and tokens once per 32 outputs. Scratch: T·K/2 floats, and up to 1 MiB per thread.
 * Needs AVX2 in addition to tile registers.
 *
 * Source: TDPBF16PS in volume 2 of Intel's Software Developer's Manual. The A operand has the layout of a stored matrix, so weights are not
 * repacked.
 */
template <arch::tile_unit Tiles, class Weights, class Source>
    requires panel_source<std::invoke_result_t<Source, const Weights&>>
void loop_tiles(Tiles, rows<const float> x, std::initializer_list<operand<Weights>> with, Source&& source, thread_pool& threads,
                arena& scratch) {
    const arena::frame frame(scratch);
    const std::size_t steps = (x.width + tile_detail::tile_inputs - 1) / tile_detail::tile_inputs;
    const std::size_t token_tiles = (x.count + tile_detail::tile_rows - 1) / tile_detail::tile_rows;
    const tile_detail::packed_tokens packed{scratch.take(token_tiles * steps * tile_detail::tile_lanes), x.count, steps};
    constexpr std::size_t steps_a_task = 16;
    const std::size_t pieces = (steps + steps_a_task - 1) / steps_a_task;
    const auto pack = [&](std::size_t task) {
        const std::size_t first = task % pieces * steps_a_task;
        tile_detail::pack_tokens(x, packed, task / pieces, first, std::min(steps, first + steps_a_task));
    };
    threads.run(token_tiles * pieces, pack);

    for (const auto& [weights, bias, y] : with) {
        const arena::frame of_one(scratch);
        const auto panels = source(weights);
        PALI_ASSERT(x.width == panels.width() && y.width == panels.count() && y.count == x.count);
        const tile_detail::tile_blocking cut(y.width, packed, threads.size());
        const std::size_t room_a_thread = cut.panel_floats() + cut.sum_floats();
        float* const room = scratch.take(threads.size() * room_a_thread);
        threads.run_blocks(y.width, cut.panels * tile_detail::panel_outputs, [&](std::size_t first, std::size_t n, std::size_t thread) {
            tile_detail::multiply_outputs<Tiles>(panels, first, n, packed, cut, bias, y, room + thread * room_a_thread);
        });
    }
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
