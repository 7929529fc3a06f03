// Converts stored elements to the dtype of the model.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/files/tensor_table.hpp>

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// Whether weights of this dtype are supported: F32, BF16, F16.
[[nodiscard]] constexpr bool is_convertible(dtype type) noexcept { return type == dtype::f32 || type == dtype::bf16 || type == dtype::f16; }

/// Whether a convolution of `shape`, (out, channels, height, width), is stored channels-last: (out, height, width, channels).
[[nodiscard]] inline bool is_channels_last(const tensor_info& tensor, const std::vector<std::size_t>& shape) {
    return shape.size() == 4 && tensor.shape != shape && tensor.shape == std::vector<std::size_t>{shape[0], shape[2], shape[3], shape[1]};
}

/// Rounds a size up to whole cache lines of 64 bytes.
[[nodiscard]] constexpr std::size_t in_cache_lines(std::size_t bytes) noexcept { return (bytes + 63) / 64 * 64; }

/// Advice for a checkpoint with unsupported dtypes.
inline constexpr const char* conversion_cure =
    "Convert the checkpoint with transformers: PaliGemmaForConditionalGeneration.from_pretrained(DIR, "
    "dtype=torch.bfloat16).save_pretrained(OUT)";

/// Converts `count` elements, which need not be aligned.
template <class From, class To>
void convert_as(const std::byte* from, std::size_t count, To* to) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        From value; // copied by memcpy, because the format does not guarantee alignment
        std::memcpy(&value, from + i * sizeof(From), sizeof value);
        if constexpr (std::is_same_v<From, To>) to[i] = value;
        else to[i] = static_cast<To>(static_cast<float>(value));
    }
}

/// Converts elements [first, first + count) of `tensor` to `to`, exactly or rounded to nearest even. The dtype must be convertible.
template <class To>
void convert(const tensor_info& tensor, std::size_t first, std::size_t count, To* to) noexcept {
    PALI_ASSERT(is_convertible(tensor.type) && first + count <= tensor.count());
    const std::byte* const from = tensor.bytes.data() + first * size_of(tensor.type);
    switch (tensor.type) {
    case dtype::bf16:
        return convert_as<bfloat16>(from, count, to);
    case dtype::f16:
        return convert_as<float16>(from, count, to);
    default:
        return convert_as<float>(from, count, to);
    }
}

}}} // namespace pali::PALI_ABI::weights
