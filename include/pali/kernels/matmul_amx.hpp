// y = x · wᵀ + bias for many rows at once, by tile registers: Intel AMX, or anything else that does what its instructions say.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/factor.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <span>
#include <type_traits>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// What LDTILECFG reads (Intel's Software Developer's Manual, volume 2A). Palette 1 has eight tiles, each of at most 16 rows of 64 bytes;
/// a tile that is not used has zeros.
struct alignas(64) tile_shapes {
    std::uint8_t palette = 1;         ///< 0 would be none
    std::uint8_t start_row = 0;       ///< where an interrupted instruction goes on
    std::uint8_t reserved[14] = {};   ///< zero
    std::uint16_t row_bytes[16] = {}; ///< of each tile, at most 64
    std::uint8_t row_count[16] = {};  ///< of each tile, at most 16
};
static_assert(sizeof(tile_shapes) == 64);

/// Eight tile registers of the calling thread and what can be done with them. Numbers of tiles are template arguments; strides are in bytes.
template <class Tiles>
concept tile_unit = requires(const tile_shapes& shapes, const void* from, void* to, std::size_t stride) {
    Tiles::configure(shapes);
    Tiles::release();
    Tiles::template zero<0>();
    Tiles::template load<4>(from, stride);
    Tiles::template dot_bfloat16<0, 4, 6>();
    Tiles::template store<0>(to, stride);
};

#if defined(__x86_64__)
/**
 * The instructions of AMX-TILE and AMX-BF16, for processors with arch::features::amx_bf16.
 * They are written as assembly because the intrinsics of g++ 12 understate what they read: _tile_loadconfig 8 bytes, _tile_loadd nothing, so
 * that stores to a packed buffer may be dropped or moved. It also frees callers from flags: no target attribute stands in the way of inlining.
 */
struct amx_tiles {
    /// Gives the tiles their shapes, and zeros.
    static void configure(const tile_shapes& shapes) noexcept { __asm__ volatile("ldtilecfg %0" : : "m"(shapes) : "memory"); }
    /// A thread that holds tiles makes every switch to another one save 8 KiB.
    static void release() noexcept { __asm__ volatile("tilerelease" : : : "memory"); }
    /// Sets a tile to zeros.
    template <int Tile>
    static void zero() noexcept {
        __asm__ volatile("tilezero %%tmm%c0" : : "i"(Tile));
    }
    /// Rows of a tile from `from`, `stride` bytes apart.
    template <int Tile>
    static void load(const void* from, std::size_t stride) noexcept {
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
    }
    /// Rows of a tile to `to`, `stride` bytes apart.
    template <int Tile>
    static void store(void* to, std::size_t stride) noexcept {
        __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
    }
    /// sums[n][t] += sum over pairs p of a[n][2p] · b[p][2t] + a[n][2p + 1] · b[p][2t + 1]. Denormal numbers count as zero.
    template <int Sums, int A, int B>
    static void dot_bfloat16() noexcept {
        __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(A), "i"(B));
    }
};
#endif

/// Where the kernel gets weights from: panel(first, n, room) gives the outputs [first, first + n), n <= 32, as rows of bfloat16.
/// If the source `decodes`, `room` has space for 32 rows whose width is rounded up to 32 numbers, and what is returned may lie there; else it is
/// null. Threads call it at the same time; it must not throw.
template <class Weights>
concept panel_source = requires(const Weights& weights, std::size_t n, bfloat16* room) {
    { weights.count() } -> std::convertible_to<std::size_t>; // outputs
    { weights.width() } -> std::convertible_to<std::size_t>; // inputs
    { weights.panel(n, n, room) } -> std::convertible_to<rows<const bfloat16>>;
    { Weights::decodes } -> std::convertible_to<bool>;
};

/// Weights that are bfloat16 as they lie.
struct stored_panels {
    static constexpr bool decodes = false; ///< panels are views
    rows<const bfloat16> matrix;           ///< (N, K)

    [[nodiscard]] std::size_t count() const noexcept { return matrix.count; } ///< N
    [[nodiscard]] std::size_t width() const noexcept { return matrix.width; } ///< K
    /// Rows [first, first + n) where they lie.
    [[nodiscard]] rows<const bfloat16> panel(std::size_t first, std::size_t n, bfloat16*) const noexcept { return matrix.slice(first, n); }
};

namespace tile_detail {

inline constexpr std::size_t tile_rows = 16;                 // outputs of a tile of weights, tokens of a tile of activations
inline constexpr std::size_t tile_inputs = 32;               // numbers of a row of weights that one step takes
inline constexpr std::size_t tile_lanes = tile_rows * 16;    // a tile as numbers of 32 bits
inline constexpr std::size_t tile_stride = 64;               // bytes of a row of a tile that lies in one piece
inline constexpr std::size_t panel_outputs = 2 * tile_rows;  // two tiles of weights times two of tokens: each is loaded once for two products
inline constexpr std::size_t block_tokens = 2 * tile_rows;
inline constexpr std::size_t most_panels = 8;                // of a task

/// Turns a tile of 16 x 16 numbers of 32 bits over, in blocks of 8 x 8, to rows that are `stride` floats apart. If `Adds`, to[i][j] = from[j][i] +
/// bias[j]; else the bits stay as they are. Compilers keep the arrays in registers, where loops are unrolled and memory is read as vectors.
template <bool Adds>
PALI_TARGET("avx2")
inline void transpose_tile(const void* from, float* to, std::size_t stride, const float* bias = nullptr) noexcept {
    typedef float lanes __attribute__((vector_size(32)));
    typedef float lanes_in_memory __attribute__((vector_size(32), aligned(4), may_alias));
    const auto* const source = static_cast<const float*>(from);
    for (std::size_t row = 0; row < 16; row += 8)
        for (std::size_t column = 0; column < 16; column += 8) {
            lanes a[8], b[8];
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) a[i] = *reinterpret_cast<const lanes_in_memory*>(source + (row + i) * 16 + column);
#pragma GCC unroll 4
            for (std::size_t i = 0; i < 8; i += 2) { // b[i]: columns 0, 1 and 4, 5 of two rows; b[i + 1]: columns 2, 3 and 6, 7
                b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
                b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
            }
#pragma GCC unroll 2
            for (std::size_t i = 0; i < 8; i += 4) { // a[i + c]: columns c and c + 4 of four rows
                a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
                a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
                a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
                a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
            }
#pragma GCC unroll 4
            for (std::size_t c = 0; c < 4; ++c) {
                b[c] = __builtin_shufflevector(a[c], a[c + 4], 0, 1, 2, 3, 8, 9, 10, 11);
                b[c + 4] = __builtin_shufflevector(a[c], a[c + 4], 4, 5, 6, 7, 12, 13, 14, 15);
            }
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) {
                if constexpr (Adds) b[i] += *reinterpret_cast<const lanes_in_memory*>(bias + row);
                *reinterpret_cast<lanes_in_memory*>(to + (column + i) * stride + row) = b[i];
            }
        }
}

/// Activations as the B operand: tiles of 16 pairs of numbers (rows) x 16 tokens, zero behind the last number and the last token.
struct packed_tokens {
    float* tiles = nullptr; ///< two bfloat16 in each; (tiles of tokens, steps, 16, 16)
    std::size_t count = 0;  ///< tokens
    std::size_t steps = 0;

    [[nodiscard]] float* tile(std::size_t token_tile, std::size_t step) const noexcept { return tiles + (token_tile * steps + step) * tile_lanes; }
};

/// Rounds and packs the steps [first, last) of one tile of tokens. A row of the tile is a pair of numbers for 16 tokens, so it is the tokens'
/// own rows turned over by pairs.
PALI_TARGET("avx2")
inline void pack_tokens(rows<const float> x, const packed_tokens& to, std::size_t token_tile, std::size_t first, std::size_t last) noexcept {
    alignas(64) bfloat16 rounded[tile_rows][tile_inputs] = {};
    const std::size_t tokens = std::min(tile_rows, x.count - token_tile * tile_rows);
    for (std::size_t step = first; step < last; ++step) {
        const std::size_t k = step * tile_inputs, width = std::min(tile_inputs, x.width - k);
        if (width < tile_inputs)
            for (auto& row : rounded) std::fill(std::begin(row), std::end(row), bfloat16{});
        for (std::size_t t = 0; t < tokens; ++t) {
            const float* const row = x[token_tile * tile_rows + t] + k;
            if (width == tile_inputs)
                for (std::size_t i = 0; i < tile_inputs; ++i) rounded[t][i] = bfloat16(row[i]);
            else
                for (std::size_t i = 0; i < width; ++i) rounded[t][i] = bfloat16(row[i]);
        }
        transpose_tile<false>(rounded, to.tile(token_tile, step), tile_rows);
    }
}

/// Up to 32 outputs: their weights, where those behind the last whole step are copied, so that nothing behind a row is read.
struct weight_panel {
    rows<const bfloat16> w;
    std::size_t first = 0; ///< column of y
    alignas(64) float bias[panel_outputs] = {};
    bfloat16 rest[panel_outputs * tile_inputs] = {}; ///< zero-padded

    weight_panel() = default;
    weight_panel(rows<const bfloat16> weights, std::size_t column, const float* biases) noexcept : w(weights), first(column) {
        if (biases) std::copy(biases + column, biases + column + w.count, bias);
        const std::size_t whole = w.width / tile_inputs * tile_inputs;
        for (std::size_t n = 0; n < w.count && whole != w.width; ++n)
            std::memcpy(rest + n * tile_inputs, w[n] + whole, (w.width - whole) * sizeof(bfloat16));
    }
};

/// Tiles 0 to 3 are sums (outputs, tokens), 4 and 5 weights (outputs, numbers), 6 and 7 activations (pairs, tokens). Where there are fewer than
/// 32 outputs the tiles have fewer rows, and nothing is read behind the last weight.
inline tile_shapes shapes_for(std::size_t outputs) noexcept {
    tile_shapes shapes;
    const auto set = [&](std::size_t tile, std::size_t count) {
        shapes.row_count[tile] = static_cast<std::uint8_t>(count);
        shapes.row_bytes[tile] = count ? tile_stride : 0;
    };
    for (std::size_t a = 0; a < 2; ++a) {
        const std::size_t n = std::clamp(outputs, a * tile_rows, (a + 1) * tile_rows) - a * tile_rows;
        set(2 * a, n);
        set(2 * a + 1, n);
        set(4 + a, n);
        set(6 + a, tile_rows);
    }
    return shapes;
}

/// One step of 32 numbers: A tiles of weights times B tiles of tokens.
template <tile_unit Tiles, std::size_t A, std::size_t B>
PALI_TARGET("avx2")
inline void add_step(const bfloat16* w, std::size_t w_stride, const float* tokens, std::size_t next_tile) noexcept {
    Tiles::template load<4>(w, w_stride * sizeof(bfloat16));
    Tiles::template load<6>(tokens, tile_stride);
    Tiles::template dot_bfloat16<0, 4, 6>();
    if constexpr (B == 2) {
        Tiles::template load<7>(tokens + next_tile, tile_stride);
        Tiles::template dot_bfloat16<1, 4, 7>();
    }
    if constexpr (A == 2) {
        Tiles::template load<5>(w + tile_rows * w_stride, w_stride * sizeof(bfloat16));
        Tiles::template dot_bfloat16<2, 5, 6>();
        if constexpr (B == 2) Tiles::template dot_bfloat16<3, 5, 7>();
    }
}

/// A tile of sums, turned over and with its bias, to the rows of y that begin at `y`.
PALI_TARGET("avx2")
inline void write_tile(const float* sums, const float* bias, std::size_t outputs, std::size_t tokens, float* y, std::size_t stride) noexcept {
    if (outputs == tile_rows && tokens == tile_rows) return transpose_tile<true>(sums, y, stride, bias);
    alignas(64) float turned[tile_rows][tile_rows];
    transpose_tile<true>(sums, turned[0], tile_rows, bias);
    for (std::size_t t = 0; t < tokens; ++t) std::memcpy(y + t * stride, turned[t], outputs * sizeof(float));
}

/// A panel against the tokens from number t on: A · 16 outputs, B · 16 tokens. `sums` is memory for four tiles.
template <tile_unit Tiles, std::size_t A, std::size_t B>
PALI_TARGET("avx2")
void multiply_block(const weight_panel& panel, const packed_tokens& x, std::size_t t, float (&sums)[4][tile_lanes], rows<float> y) noexcept {
    Tiles::template zero<0>();
    if constexpr (B == 2) Tiles::template zero<1>();
    if constexpr (A == 2) Tiles::template zero<2>();
    if constexpr (A == 2 && B == 2) Tiles::template zero<3>();
    const std::size_t next_tile = x.steps * tile_lanes, stride = panel.w.stride; // copies: tiles are loaded by code that might write to any memory
    const bfloat16* w = panel.w.data;
    const float* tokens = x.tile(t / tile_rows, 0);
    for (std::size_t whole = panel.w.width / tile_inputs; whole != 0; --whole, w += tile_inputs, tokens += tile_lanes)
        add_step<Tiles, A, B>(w, stride, tokens, next_tile);
    if (panel.w.width % tile_inputs != 0) add_step<Tiles, A, B>(panel.rest, tile_inputs, tokens, next_tile);

    Tiles::template store<0>(sums[0], tile_stride);
    if constexpr (B == 2) Tiles::template store<1>(sums[1], tile_stride);
    if constexpr (A == 2) Tiles::template store<2>(sums[2], tile_stride);
    if constexpr (A == 2 && B == 2) Tiles::template store<3>(sums[3], tile_stride);
    for (std::size_t a = 0; a < A; ++a)
        for (std::size_t b = 0; b < B; ++b) {
            const std::size_t n = a * tile_rows, from = t + b * tile_rows;
            write_tile(sums[2 * a + b], panel.bias + n, std::min(tile_rows, panel.w.count - n), std::min(tile_rows, x.count - from),
                       y[from] + panel.first + n, y.stride);
        }
}

/// Panels of equally many outputs against all tokens. A block of tokens stays in the caches while all panels pass.
template <tile_unit Tiles>
PALI_TARGET("avx2")
void multiply_panels(std::span<const weight_panel> panels, const packed_tokens& x, rows<float> y) noexcept {
    if (panels.empty()) return;
    const bool two = panels.front().w.count > tile_rows;
    alignas(64) float sums[4][tile_lanes] = {}; // a tile with fewer rows leaves the others as they are
    Tiles::configure(shapes_for(panels.front().w.count));
    for (std::size_t t = 0; t < x.count; t += block_tokens)
        for (const weight_panel& panel : panels) {
            if (x.count - t > tile_rows) two ? multiply_block<Tiles, 2, 2>(panel, x, t, sums, y) : multiply_block<Tiles, 1, 2>(panel, x, t, sums, y);
            else two ? multiply_block<Tiles, 2, 1>(panel, x, t, sums, y) : multiply_block<Tiles, 1, 1>(panel, x, t, sums, y);
        }
    Tiles::release();
}

/// How many panels a task has: no more than half of a second-level cache of 2 MiB holds, so that tokens which do not fit there as well are read
/// once for all of them; and even shares of at least four tasks a thread, so that others can help a thread that is late.
inline std::size_t panels_a_task(std::size_t panels, std::size_t steps, std::size_t threads) noexcept {
    constexpr std::size_t half_cache = std::size_t{1} << 20, step_bytes = panel_outputs * tile_stride;
    const std::size_t fit = std::clamp<std::size_t>(half_cache / std::max(step_bytes, steps * step_bytes), 1, most_panels);
    const std::size_t tasks = threads * std::max<std::size_t>(4, (panels + threads * fit - 1) / (threads * fit));
    return std::max<std::size_t>(1, (panels + tasks - 1) / tasks);
}

/// The outputs [first, first + count) of every token. `room` is for this thread's decoded weights.
template <tile_unit Tiles, panel_source Weights>
void multiply_outputs(const Weights& weights, std::size_t first, std::size_t count, const packed_tokens& x, const float* bias, rows<float> y, bfloat16* room) noexcept {
    std::array<weight_panel, most_panels> panels;
    std::size_t whole = 0, at = 0;
    const auto add = [&](std::size_t n) {
        bfloat16* const here = Weights::decodes ? room + at * x.steps * tile_inputs : nullptr;
        panels[at / panel_outputs] = weight_panel(weights.panel(first + at, n, here), first + at, bias);
        at += n;
    };
    for (; at + panel_outputs <= count; ++whole) add(panel_outputs);
    multiply_panels<Tiles>(std::span(panels).first(whole), x, y);
    if (at == count) return;
    add(count - at); // its tiles have another shape
    multiply_panels<Tiles>(std::span(panels).subspan(whole, 1), x, y);
}

} // namespace tile_detail

/**
 * y = x · wᵀ + bias for each factor. x (T, K) float, rounded to bfloat16; source(weights) gives the numbers of weights (N, K).
 * Accumulates in float32, 16 pairs of products after 16 pairs: the order of each sum depends on K alone, so results are the same for any T and any
 * number of threads (not those of matmul(), which does not round x). Numbers that are denormal count as zero.
 * 2·T·N·K flop, for T in whole tiles of 16; reads weights once a call from memory, and once for 32 tokens from the second-level cache. Takes T·K/2
 * floats of scratch, and room for a task's panels a thread if the source decodes. Needs AVX2 besides the tiles.
 * Source: TDPBF16PS in volume 2 of Intel's Software Developer's Manual; that a matrix as stored is its first operand is all the layout needs.
 */
template <tile_unit Tiles, class Weights, class Source>
    requires panel_source<std::invoke_result_t<Source, const Weights&>>
void matmul_amx(Tiles, rows<const float> x, std::initializer_list<factor<Weights>> with, Source&& source, thread_pool& threads, arena& scratch) {
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
        const std::size_t outputs = panels.count(), count = (outputs + tile_detail::panel_outputs - 1) / tile_detail::panel_outputs;
        PALI_ASSERT(x.width == panels.width() && y.width == outputs && y.count == x.count);
        const std::size_t outputs_a_task = tile_detail::panels_a_task(count, steps, threads.size()) * tile_detail::panel_outputs;
        const std::size_t room_a_thread = outputs_a_task * steps * tile_detail::tile_inputs;
        auto* const room = panels.decodes ? reinterpret_cast<bfloat16*>(scratch.take(threads.size() * room_a_thread / 2)) : nullptr;
        threads.run((outputs + outputs_a_task - 1) / outputs_a_task, [&](std::size_t task, std::size_t thread) {
            const std::size_t first = task * outputs_a_task;
            tile_detail::multiply_outputs<Tiles>(panels, first, std::min(outputs_a_task, outputs - first), packed, bias, y, room ? room + thread * room_a_thread : nullptr);
        });
    }
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
