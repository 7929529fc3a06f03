// Tensor table of a checkpoint: names, dtypes, shapes and bytes.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/macros.hpp>
#include <pali/files/dtype.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace files {

/// Number of elements of a shape, which must be known not to overflow: see checked_size().
[[nodiscard]] inline std::size_t elements_of(std::span<const std::size_t> shape) noexcept {
    std::size_t product = 1;
    for (const std::size_t side : shape) product *= side;
    return product;
}

/// One tensor of a file. Does not own its bytes, which belong to the reader of the file.
struct tensor_info {
    dtype type = dtype::f32;          ///< element type
    std::vector<std::size_t> shape;   ///< outermost first, row-major; empty for a scalar
    std::span<const std::byte> bytes; ///< little-endian, possibly unaligned: see is_aligned()
    std::string file;                 ///< path of the file, for messages

    /// Number of elements: the product of the shape, which the reader has checked for overflow.
    [[nodiscard]] std::size_t count() const noexcept { return elements_of(shape); }

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

/// The tensor named `name`. Throws errc::checkpoint_mismatch, with `file` in the message, if the table has no such tensor.
[[nodiscard]] inline const tensor_info& tensor_of(const tensor_table& tensors, std::string_view name, const std::filesystem::path& file) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
        throw error(errc::checkpoint_mismatch, {file.string(), ": has no tensor ", in_quotes(name), " among its ", tensors.size()});
    return found->second;
}

/// The product of `unit`, the bits or bytes of an element, and all sides of a shape. std::nullopt if a product of nonzero factors does not
/// fit into 64 bits, even if another side is 0.
[[nodiscard]] inline std::optional<std::uint64_t> checked_size(std::uint64_t unit, std::span<const std::size_t> shape) noexcept {
    std::uint64_t product = unit;
    bool empty = false;
    for (const std::size_t side : shape) {
        if (side == 0) empty = true;
        else if (product > std::numeric_limits<std::uint64_t>::max() / side) return std::nullopt;
        else product *= side;
    }
    return empty ? 0 : product;
}

}}} // namespace pali::PALI_ABI::files
