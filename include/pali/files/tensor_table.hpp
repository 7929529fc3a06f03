// What a checkpoint holds: names, types, shapes, and where the bytes lie.
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

/// One tensor of a file. Its bytes belong to whoever mapped the file.
struct tensor_info {
    dtype type = dtype::f32;          ///< of its numbers
    std::vector<std::size_t> shape;   ///< outermost first, row-major; empty for a scalar
    std::span<const std::byte> bytes; ///< little-endian; not necessarily aligned: see is_aligned()
    std::string file;                 ///< for messages

    /// How many numbers: the product of the shape, checked by the reader not to overflow.
    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t product = 1;
        for (const std::size_t side : shape) product *= side;
        return product;
    }

    /// Whether the bytes may be read as numbers of `type` where they lie. The format does not promise it.
    [[nodiscard]] bool is_aligned() const noexcept { return reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(type) == 0; }

    /// The numbers where they lie. T has the size of `type`, and is_aligned().
    template <class T>
    [[nodiscard]] std::span<const T> as() const noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "numbers in a file are plain bytes");
        PALI_ASSERT(sizeof(T) == size_of(type) && is_aligned());
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
};

/// Tensors by name, in the order of names. Look one up by std::string_view without making a string.
using tensor_table = std::map<std::string, tensor_info, std::less<>>;

}} // namespace pali::PALI_ABI
