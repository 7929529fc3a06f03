// Partition of rows and columns into register tiles.
#pragma once

#include <pali/arch/level.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD { namespace detail {

/// Calls tile(first, integral_constant<N>) for rows [0, count): tiles of R while they fit, then of 4, 2 and 1. Eight rows are split 4 + 4,
/// because 6 + 2 would leave a tile that is bound by loads.
template <std::size_t R, class Tile>
void for_row_tiles(std::size_t count, Tile&& tile) {
    std::size_t r = 0;
    const auto in_tiles = [&]<std::size_t Rows>(std::integral_constant<std::size_t, Rows> rows) {
        if constexpr (Rows <= R)
            for (; r + Rows <= count && !(Rows == 6 && count - r == 8); r += Rows) tile(r, rows);
    };
    if constexpr (R > 4) in_tiles(std::integral_constant<std::size_t, R>{});
    in_tiles(std::integral_constant<std::size_t, 4>{});
    in_tiles(std::integral_constant<std::size_t, 2>{});
    in_tiles(std::integral_constant<std::size_t, 1>{});
}

/// Calls tile(first, integral_constant<N>) for columns [0, count): tiles of C, then of 1.
template <std::size_t C, class Tile>
PALI_ALWAYS_INLINE inline void for_column_tiles(std::size_t count, Tile&& tile) {
    std::size_t c = 0;
    for (; c + C <= count; c += C) tile(c, std::integral_constant<std::size_t, C>{});
    for (; c < count; ++c) tile(c, std::integral_constant<std::size_t, 1>{});
}

}}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD::detail
