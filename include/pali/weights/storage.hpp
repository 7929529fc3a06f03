// Storage types: the element type of a model's matrices in memory.
#pragma once

#include <pali/core/quantized_rows.hpp>
#include <pali/core/rows.hpp>
#include <pali/files/dtype.hpp>

#include <concepts>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// float32 weights: zero-copy for a float32 checkpoint, an exact conversion of smaller types.
struct f32 {
    using matrix = core::rows<const float>;    ///< decoder matrices
    using tower = f32;                         ///< storage of vision tower and projector
    static constexpr const char* name = "f32"; ///< in files and messages
};

/// bfloat16 weights, the default: zero-copy for a bfloat16 checkpoint; other types are rounded.
struct bf16 {
    using matrix = core::rows<const core::bfloat16>; ///< decoder matrices
    using tower = bf16;                              ///< storage of vision tower and projector
    static constexpr const char* name = "bf16";      ///< in files and messages
};

/// 8-bit decoder matrices, embedding and head included, with one scale per 64 elements: 8.25 bits per element. Vision tower and projector
/// stay in bfloat16, because they are read once per image and not once per token, so quantizing them would gain little.
struct int8 {
    using matrix = core::quantized_rows<8>;     ///< decoder matrices
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int8"; ///< in files and messages
};

/// Same as int8, but with 4 bits and one scale per 32 elements: 4.5 bits per element.
struct int4 {
    using matrix = core::quantized_rows<4>;     ///< decoder matrices
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int4"; ///< in files and messages
};

/// The second template parameter of pali::model.
template <class S>
concept weight_storage = std::same_as<S, f32> || std::same_as<S, bf16> || std::same_as<S, int8> || std::same_as<S, int4>;

namespace weights {

/// dtype of the codes of a quantized matrix. A file stores the codes under the name of the matrix, and the scales under that name with
/// scales_suffix. quantized_rows defines the shapes.
template <std::size_t Bits>
inline constexpr dtype code_type = Bits == 8 ? dtype::i8 : dtype::u8;
inline constexpr std::string_view scales_suffix = "_scale";     ///< suffix of the scales' name: "...q_proj.weight_scale", BF16
inline constexpr std::string_view weights_key = "pali.weights"; ///< key in the file's metadata: "int8" or "int4"

} // namespace weights

}} // namespace pali::PALI_ABI
