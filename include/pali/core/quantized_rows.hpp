// View of a matrix of quantized weights: small integers with scales.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/core/macros.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/**
 * Non-owning (count, width) matrix of signed codes of `Bits` bits. `group` consecutive elements of a row share a scale: an element is code
 * · scale.
 *
 * Eight rows form a strip, which kernels read from beginning to end. A strip is stored group by group. A group holds four elements of row
 * 0, four of row 1, and so on to row 7, then the next four of each row. So each 32-bit lane of a 32-byte register holds four elements of
 * one row, which are multiplied by four elements of a token. Lanes are never added to each other.
 *
 * With 8 bits, a code is one byte, -127 to 127. With 4 bits, a code is -8 to 7 and is stored as code + 8. The low halves of the bytes hold
 * the first 16 elements of a group, the high halves the last 16. Scales have the same order: eight for each group of a strip.
 */
template <std::size_t Bits>
struct quantized_rows {
    static_assert(Bits == 4 || Bits == 8, "codes have 4 or 8 bits");
    static constexpr std::size_t bits = Bits; ///< bits of a code
    /// Elements that share a scale; the width is a multiple of this. Including the scale, an element takes 4.5 or 8.25 bits.
    static constexpr std::size_t group =
        Bits == 4 ? 32 : 64; // the file format and all int8 and int4 kernels depend on it; the kernels static_assert it
    /// Rows of a strip; the count is a multiple of this.
    static constexpr std::size_t strip = 8;
    /// Bytes of one group in all rows of a strip.
    static constexpr std::size_t group_bytes = strip * group * Bits / 8;
    static constexpr int largest = Bits == 4 ? 7 : 127;    ///< largest code
    static constexpr int smallest = Bits == 4 ? -8 : -127; ///< smallest code

    const std::uint8_t* codes = nullptr; ///< (count / strip, width / group, group_bytes)
    const bfloat16* scales = nullptr;    ///< (count / strip, width / group, strip)
    std::size_t count = 0;               ///< rows
    std::size_t width = 0;               ///< elements of a row

    /// Whether a (count, width) matrix consists of whole strips and whole groups.
    [[nodiscard]] static constexpr bool fits(std::size_t count, std::size_t width) noexcept {
        return count % strip == 0 && width % group == 0;
    }
    /// The count rounded up to whole strips.
    [[nodiscard]] static constexpr std::size_t padded(std::size_t count) noexcept { return (count + strip - 1) / strip * strip; }
    /// Shape of `codes`, in bytes, for a matrix of whole groups. Rows that pad the last strip are zero.
    [[nodiscard]] static std::vector<std::size_t> codes_shape(std::size_t count, std::size_t width) {
        return {padded(count) / strip, width / group, group_bytes};
    }
    /// Shape of `scales`.
    [[nodiscard]] static std::vector<std::size_t> scales_shape(std::size_t count, std::size_t width) {
        return {padded(count) / strip, width / group, strip};
    }
    /// Bytes of the codes of `numbers` elements, which must be a multiple of the group.
    [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t elements) noexcept { return elements * Bits / 8; }

    /// Codes of strip `i`: (width / group, group_bytes).
    [[nodiscard]] const std::uint8_t* codes_of(std::size_t i) const noexcept { return codes + i * strip * bytes_of(width); }
    /// Scales of strip `i`: (width / group, strip).
    [[nodiscard]] const bfloat16* scales_of(std::size_t i) const noexcept { return scales + i * strip * (width / group); }

    /// The code of element `k` of a row, from `smallest` to `largest`. For access to single elements; kernels read whole strips.
    [[nodiscard]] int code(std::size_t row, std::size_t k) const noexcept {
        const std::uint8_t byte = codes_of(row / strip)[k / group * group_bytes + byte_in_group(row % strip, k % group)];
        if constexpr (Bits == 8) return static_cast<std::int8_t>(byte);
        else return (k % group < group / 2 ? byte & 15 : byte >> 4) - 8;
    }
    /// The scale of element `k` of a row.
    [[nodiscard]] float scale(std::size_t row, std::size_t k) const noexcept {
        return static_cast<float>(scales_of(row / strip)[k / group * strip + row % strip]);
    }

    /// Byte offset of element `k` of a group, for row `r` of a strip.
    [[nodiscard]] static constexpr std::size_t byte_in_group(std::size_t r, std::size_t k) noexcept {
        const std::size_t place = Bits == 8 ? k : k % (group / 2);
        return place / 4 * (4 * strip) + 4 * r + place % 4;
    }
};

}}} // namespace pali::PALI_ABI::core
