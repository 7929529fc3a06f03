// In what numbers the matrices of a model are held in memory.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/files/dtype.hpp>

#include <concepts>

namespace pali::inline PALI_ABI {

/// Weights in float32: what a float32 checkpoint holds, or an exact copy of a smaller one.
struct f32 {
    using element = float;
    static constexpr dtype stored = dtype::f32;
    static constexpr const char* name = "f32";
};

/// Weights in bfloat16, the default: a bfloat16 checkpoint is used where it lies; others are rounded.
struct bf16 {
    using element = bfloat16;
    static constexpr dtype stored = dtype::bf16;
    static constexpr const char* name = "bf16";
};

/// The second parameter of pali::model.
template <class S>
concept weight_storage = std::same_as<S, f32> || std::same_as<S, bf16>;

} // namespace pali::inline PALI_ABI
