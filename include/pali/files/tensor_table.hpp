// Tensor table of a checkpoint: names, dtypes, shapes and bytes.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/files/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// One tensor of a file. Does not own its bytes; the mapping does.
struct tensor_info {
    dtype type = dtype::f32;          ///< element type
    std::vector<std::size_t> shape;   ///< outermost first, row-major; empty for a scalar
    std::span<const std::byte> bytes; ///< little-endian, possibly unaligned: see is_aligned()
    std::string file;                 ///< path of the file, for messages

    /// Number of elements: the product of the shape, which the reader has checked for overflow.
    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t product = 1;
        for (const std::size_t side : shape) product *= side;
        return product;
    }

    /// Whether the bytes can be read in place as elements of `type`. The format does not guarantee alignment.
    [[nodiscard]] bool is_aligned() const noexcept { return reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(type) == 0; }

    /// The elements in place. T must have the size of `type`, and is_aligned() must hold.
    template <class T>
    [[nodiscard]] std::span<const T> as() const noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "elements in a file are plain bytes");
        PALI_ASSERT(sizeof(T) == size_of(type) && is_aligned());
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
};

/// Tensors by name, sorted. Supports lookup by std::string_view without a temporary string.
using tensor_table = std::map<std::string, tensor_info, std::less<>>;

}} // namespace pali::PALI_ABI
