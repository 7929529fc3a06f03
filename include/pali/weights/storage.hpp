// In what numbers the matrices of a model are held in memory.
#pragma once

#include <pali/core/quantized.hpp>
#include <pali/core/rows.hpp>
#include <pali/files/dtype.hpp>

#include <concepts>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Weights in float32: what a float32 checkpoint holds, or an exact copy of a smaller one.
struct f32 {
    using matrix = rows<const float>;          ///< of the decoder
    using tower = f32;                         ///< storage of vision tower and projector
    static constexpr const char* name = "f32"; ///< in files and messages
};

/// Weights in bfloat16, the default: a bfloat16 checkpoint is used where it lies; others are rounded.
struct bf16 {
    using matrix = rows<const bfloat16>;        ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "bf16"; ///< in files and messages
};

/// The decoder's matrices, embedding and head included, in bytes with a scale for every 64 numbers: 8.25 bits a number. Vision tower and
/// projector stay in bfloat16: they are read once an image and not once a token, so there is little to win.
struct int8 {
    using matrix = quantized_rows<8>;           ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int8"; ///< in files and messages
};

/// The same in 4 bits with a scale for every 32 numbers: 4.5 bits a number.
struct int4 {
    using matrix = quantized_rows<4>;           ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int4"; ///< in files and messages
};

/// The second parameter of pali::model.
template <class S>
concept weight_storage = std::same_as<S, f32> || std::same_as<S, bf16> || std::same_as<S, int8> || std::same_as<S, int4>;

/// How a file holds a quantized matrix: its codes under the matrix's own name, and its scales beside them, in the shapes of quantized_rows.
template <std::size_t Bits>
inline constexpr dtype code_type = Bits == 8 ? dtype::i8 : dtype::u8;
inline constexpr std::string_view scales_suffix = "_scale";     ///< "...q_proj.weight_scale", BF16
inline constexpr std::string_view weights_key = "pali.weights"; ///< in the file's metadata: "int8" or "int4"

}} // namespace pali::PALI_ABI
