// A matrix of small integers with scales, as kernels see it.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>

namespace pali::inline PALI_ABI {

/// Rows are stored in pieces of so many numbers; their width is a multiple of it.
inline constexpr std::size_t quantised_piece = 64;

/**
 * Non-owning (count, width) of signed integers of `Bits` bits. Consecutive numbers of a row, `group` of them, share a scale: a number is code · scale.
 *
 * 8 bits: a code is a byte, -127 to 127. 4 bits: -8 to 7, held as code + 8; byte j of the 32 of a piece has number j in its low half and number 32 + j in
 * its high half, so that one load and one shift give two groups in order.
 */
template <std::size_t Bits>
struct quantised_rows {
    static_assert(Bits == 4 || Bits == 8, "codes have 4 or 8 bits");
    static constexpr std::size_t bits = Bits;
    /// Numbers that share a scale: 4.5 bits a number, and 8.25.
    static constexpr std::size_t group = Bits == 4 ? 32 : 64;
    static constexpr int largest = Bits == 4 ? 7 : 127;
    static constexpr int smallest = Bits == 4 ? -8 : -127;

    const std::uint8_t* codes = nullptr; ///< (count, width · Bits / 8)
    const bfloat16* scales = nullptr;    ///< (count, width / group)
    std::size_t count = 0;
    std::size_t width = 0;

    [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t numbers) noexcept { return numbers * Bits / 8; }
    [[nodiscard]] const std::uint8_t* codes_of(std::size_t row) const noexcept { return codes + row * bytes_of(width); }
    [[nodiscard]] const bfloat16* scales_of(std::size_t row) const noexcept { return scales + row * (width / group); }
    /// Rows [first, first + n).
    [[nodiscard]] quantised_rows slice(std::size_t first, std::size_t n) const noexcept { return {codes_of(first), scales_of(first), n, width}; }
};

/// The code of number i in a row's `codes`.
template <std::size_t Bits>
[[nodiscard]] inline int code_at(const std::uint8_t* codes, std::size_t i) noexcept {
    if constexpr (Bits == 8) {
        return static_cast<std::int8_t>(codes[i]);
    } else {
        const std::size_t in_piece = i % quantised_piece;
        return (codes[i / quantised_piece * 32 + in_piece % 32] >> (in_piece / 32 * 4) & 15) - 8;
    }
}

} // namespace pali::inline PALI_ABI
