// A matrix as kernels see it: a pointer, how many rows, how wide, how far apart.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

/// Non-owning row-major matrix (count, width); row i begins at data + i * stride. Cheap to copy.
template <class T>
struct rows {
    T* data = nullptr;      ///< first element of row 0
    std::size_t count = 0;  ///< rows
    std::size_t width = 0;  ///< elements of a row
    std::size_t stride = 0; ///< from row to row, in elements

    rows() = default;
    /// Rows that follow each other without a gap.
    rows(T* first, std::size_t n, std::size_t elements) noexcept : rows(first, n, elements, elements) {}
    /// Rows `step` elements apart.
    rows(T* first, std::size_t n, std::size_t elements, std::size_t step) noexcept : data(first), count(n), width(elements), stride(step) {}
    /// rows<T> is usable where rows<const T> is asked for.
    template <class U>
        requires(std::is_same_v<const U, T>)
    rows(const rows<U>& other) noexcept : rows(other.data, other.count, other.width, other.stride) {}

    /// The first element of a row; not checked.
    [[nodiscard]] T* operator[](std::size_t row) const noexcept { return data + row * stride; }
    /// Rows [first, first + n).
    [[nodiscard]] rows slice(std::size_t first, std::size_t n) const noexcept { return {data + first * stride, n, width, stride}; }
};

}} // namespace pali::PALI_ABI
