// Tensors are xtensor containers and adapted memory, with the allocator named so that no macro changes their type.
#pragma once

#include <pali/core/aligned.hpp>
#include <pali/core/compat_xtensor.hpp>
#include <pali/core/rows.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// Owning row-major float tensor of `Rank` dimensions.
template <std::size_t Rank>
using tensor = xt::xtensor_container<xt::uvector<float, aligned_allocator<float>>, Rank, xt::layout_type::row_major>;

/// Owning matrix, (rows, columns). Its elements are not initialised.
using matrix = tensor<2>;

/// A matrix in memory that belongs to somebody else (an arena, a cache): an xtensor expression like any other.
using matrix_view =
    xt::xtensor_adaptor<xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>, 2, xt::layout_type::row_major>;

/// An uninitialised matrix of `count` rows.
[[nodiscard]] inline matrix make_matrix(std::size_t count, std::size_t width) { return matrix(std::array<std::size_t, 2>{count, width}); }

/// (count, width) over contiguous memory.
[[nodiscard]] inline matrix_view view_matrix(float* data, std::size_t count, std::size_t width) {
    using buffer = xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>;
    return matrix_view(buffer(data, count * width), std::array<std::size_t, 2>{count, width});
}

/// Rows [first, first + count) of x, as a view.
[[nodiscard]] inline matrix_view slice(matrix_view& x, std::size_t first, std::size_t count) {
    return view_matrix(x.data() + first * x.shape(1), count, x.shape(1));
}

/// x += y, element by element; xtensor's own would make the sum elsewhere and copy it.
inline void add(matrix_view& x, const matrix_view& y) noexcept {
    PALI_ASSERT(x.size() == y.size());
    const float* const from = y.data();
    float* const to = x.data();
    for (std::size_t i = 0; i < x.size(); ++i) to[i] += from[i];
}

/// A copy that owns its memory.
[[nodiscard]] inline matrix copy_of(const matrix_view& x) {
    matrix out = make_matrix(x.shape(0), x.shape(1));
    std::copy_n(x.data(), x.size(), out.data());
    return out;
}

/// What a kernel takes, of a matrix or a view of one.
template <class Matrix>
[[nodiscard]] auto rows_of(Matrix& m) noexcept {
    return rows(m.data(), m.shape(0), m.shape(1));
}

}} // namespace pali::PALI_ABI
