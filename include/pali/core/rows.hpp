// View of a matrix for kernels: pointer, number of rows, width and stride.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Non-owning row-major (count, width) matrix; row i starts at data + i * stride. Cheap to copy.
template <class T>
struct rows {
    T* data = nullptr;      ///< first element of row 0
    std::size_t count = 0;  ///< rows
    std::size_t width = 0;  ///< elements per row
    std::size_t stride = 0; ///< elements from one row to the next

    rows() = default;
    /// Contiguous rows.
    rows(T* first, std::size_t n, std::size_t elements) noexcept : rows(first, n, elements, elements) {}
    /// Rows that are `step` elements apart.
    rows(T* first, std::size_t n, std::size_t elements, std::size_t step) noexcept : data(first), count(n), width(elements), stride(step) {}
    /// Converts rows<T> to rows<const T>.
    template <class U>
        requires(std::is_same_v<const U, T>)
    rows(const rows<U>& other) noexcept : rows(other.data, other.count, other.width, other.stride) {}

    /// Pointer to the first element of a row; not checked.
    [[nodiscard]] T* operator[](std::size_t row) const noexcept { return data + row * stride; }
    /// Rows [first, first + n).
    [[nodiscard]] rows slice(std::size_t first, std::size_t n) const noexcept { return {data + first * stride, n, width, stride}; }
};

}}} // namespace pali::PALI_ABI::core
