// Tile registers: the concept of a type with tile operations, and the type that executes Intel's AMX instructions.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace arch {

/// Operand of LDTILECFG (Intel's Software Developer's Manual, volume 2A). Palette 1 has eight tiles of up to 16 rows of 64 bytes. Entries
/// of unused tiles are zero.
struct alignas(64) tile_shapes {
    std::uint8_t palette = 1;         ///< 0 means unconfigured
    std::uint8_t start_row = 0;       ///< row at which an interrupted instruction resumes
    std::uint8_t reserved[14] = {};   ///< must be zero
    std::uint16_t row_bytes[16] = {}; ///< bytes per row of each tile, at most 64
    std::uint8_t row_count[16] = {};  ///< rows of each tile, at most 16
};
static_assert(sizeof(tile_shapes) == 64);

/// Eight tile registers of the calling thread and their operations. Tile numbers are template arguments; strides are in bytes.
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
 * The instructions of AMX-TILE and AMX-BF16, for processors with arch::features::amx_bf16. They are written in inline assembly, because the
 * intrinsics of g++ 12 declare too small a memory operand (8 bytes for _tile_loadconfig, none for _tile_loadd), so stores to a packed
 * buffer may be dropped or moved. Inline assembly also needs neither compiler flags nor a target attribute. A target attribute would
 * prevent inlining.
 */
struct amx_tiles {
    /// Configures the shapes of the tiles and sets the tiles to zero.
    static void configure(const tile_shapes& shapes) noexcept { __asm__ volatile("ldtilecfg %0" : : "m"(shapes) : "memory"); }
    /// Releases the tiles. While a thread holds tiles, every context switch saves 8 KiB.
    static void release() noexcept { __asm__ volatile("tilerelease" : : : "memory"); }
    /// Sets a tile to zero.
    template <int Tile>
    static void zero() noexcept {
        __asm__ volatile("tilezero %%tmm%c0" : : "i"(Tile));
    }
    /// Loads the rows of a tile from `from`, `stride` bytes apart.
    template <int Tile>
    static void load(const void* from, std::size_t stride) noexcept {
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
    }
    /// Stores the rows of a tile to `to`, `stride` bytes apart.
    template <int Tile>
    static void store(void* to, std::size_t stride) noexcept {
        __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
    }
    /// sums[n][t] += sum over pairs p of a[n][2p] · b[p][2t] + a[n][2p + 1] · b[p][2t + 1]. Denormals count as zero.
    template <int Sums, int A, int B>
    static void dot_bfloat16() noexcept {
        __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(A), "i"(B));
    }
};
#endif

}}} // namespace pali::PALI_ABI::arch
