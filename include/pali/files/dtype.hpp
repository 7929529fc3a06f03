// Element types of a safetensors file.
#pragma once

#include <pali/core/macros.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace files {

/// All dtypes of the format (safetensors 0.8, tensor.rs, enum Dtype), in its order, which determines the layout of written files. The
/// library computes with bf16, f16 and f32. The other dtypes are known so that checkpoints with them can be listed and reported.
enum class dtype {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
};

/// A row of the table of dtypes.
struct dtype_row {
    dtype type;       ///< position in the table
    const char* name; ///< as in safetensors headers
    std::size_t bits; ///< of one element
};

/// In the order of the enumerators.
inline constexpr std::array dtype_rows{
    dtype_row{dtype::boolean, "BOOL", 8},
    dtype_row{dtype::f4, "F4", 4},
    dtype_row{dtype::f6_e2m3, "F6_E2M3", 6},
    dtype_row{dtype::f6_e3m2, "F6_E3M2", 6},
    dtype_row{dtype::u8, "U8", 8},
    dtype_row{dtype::i8, "I8", 8},
    dtype_row{dtype::f8_e5m2, "F8_E5M2", 8},
    dtype_row{dtype::f8_e4m3, "F8_E4M3", 8},
    dtype_row{dtype::f8_e8m0, "F8_E8M0", 8},
    dtype_row{dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    dtype_row{dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    dtype_row{dtype::i16, "I16", 16},
    dtype_row{dtype::u16, "U16", 16},
    dtype_row{dtype::f16, "F16", 16},
    dtype_row{dtype::bf16, "BF16", 16},
    dtype_row{dtype::i32, "I32", 32},
    dtype_row{dtype::u32, "U32", 32},
    dtype_row{dtype::f32, "F32", 32},
    dtype_row{dtype::c64, "C64", 64},
    dtype_row{dtype::f64, "F64", 64},
    dtype_row{dtype::i64, "I64", 64},
    dtype_row{dtype::u64, "U64", 64},
};

/// Whether each row stands at the position of its dtype.
consteval bool dtype_rows_are_in_order() {
    for (std::size_t i = 0; i < dtype_rows.size(); ++i)
        if (static_cast<std::size_t>(dtype_rows[i].type) != i) return false;
    return dtype_rows.size() == static_cast<std::size_t>(dtype::u64) + 1;
}
static_assert(dtype_rows_are_in_order(), "a row of the table is missing or out of place");

/// The dtype's name in a file: "BF16".
[[nodiscard]] constexpr const char* to_string(dtype type) noexcept { return dtype_rows[static_cast<std::size_t>(type)].name; }

/// Bits per element; dtypes below 8 bits are packed.
[[nodiscard]] constexpr std::size_t bits_of(dtype type) noexcept { return dtype_rows[static_cast<std::size_t>(type)].bits; }

/// Bytes per element, which is also the natural alignment; 1 for packed dtypes.
[[nodiscard]] constexpr std::size_t size_of(dtype type) noexcept { return bits_of(type) < 8 ? 1 : bits_of(type) / 8; }

/// The dtype named `name`, in the spelling of the format; std::nullopt for an unknown name.
[[nodiscard]] constexpr std::optional<dtype> find_dtype(std::string_view name) noexcept {
    for (const dtype_row& row : dtype_rows)
        if (name == row.name) return row.type;
    return std::nullopt;
}

/// All names, separated by commas, for messages.
[[nodiscard]] inline std::string dtype_names() {
    std::string names;
    for (const dtype_row& row : dtype_rows) names += (names.empty() ? "" : ", ") + std::string(row.name);
    return names;
}

}}} // namespace pali::PALI_ABI::files
