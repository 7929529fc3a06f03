// Tensor types on xtensor: containers and adapted memory, with an explicit allocator, so that no xtensor macro changes the types.
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
using tensor = xt::xtensor_container<xt::uvector<float, core::aligned_allocator<float>>, Rank, xt::layout_type::row_major>;

/// Owning (rows, columns) matrix; elements are uninitialized.
using matrix = tensor<2>;

/// Non-owning matrix over memory of an arena or a cache; an xtensor expression.
using matrix_view =
    xt::xtensor_adaptor<xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>, 2, xt::layout_type::row_major>;

namespace core {

/// Creates an uninitialized matrix of `count` rows.
[[nodiscard]] inline matrix make_matrix(std::size_t count, std::size_t width) { return matrix(std::array<std::size_t, 2>{count, width}); }

/// View of contiguous memory as (count, width). This function is static, and its callers in this header are always inlined, because the
/// view's constructor contains vector instructions: translation units with different flags would share it otherwise.
[[nodiscard]] PALI_FLATTEN static inline matrix_view view_matrix(float* data, std::size_t count, std::size_t width) {
    using buffer = xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>;
    return matrix_view(buffer(data, count * width), std::array<std::size_t, 2>{count, width});
}

/// View of rows [first, first + count) of x.
[[nodiscard]] PALI_ALWAYS_INLINE inline matrix_view slice(matrix_view& x, std::size_t first, std::size_t count) {
    return view_matrix(x.data() + first * x.shape(1), count, x.shape(1));
}

/// Returns an owning copy.
[[nodiscard]] inline matrix copy_of(const matrix_view& x) {
    matrix out = make_matrix(x.shape(0), x.shape(1));
    std::copy_n(x.data(), x.size(), out.data());
    return out;
}

/// Converts a matrix or a view to the rows that kernels take.
template <class Matrix>
[[nodiscard]] auto rows_of(Matrix& m) noexcept {
    return rows(m.data(), m.shape(0), m.shape(1));
}

} // namespace core

}} // namespace pali::PALI_ABI
