// Views for xtensor expressions whose instructions depend on compiler flags. Their types name the level, and so do the symbols of the
// xtensor functions that are instantiated for them.
#pragma once

#include <pali/arch/level.hpp>
#include <pali/core/aligned.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/tensor.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace arch { inline namespace PALI_SIMD {

/// Allocator whose only purpose is its name, because the views below never allocate. If expressions took the views of core/tensor.hpp
/// instead, translation units compiled with different flags would share xtensor's functions.
template <class T>
struct level_allocator : aligned_allocator<T> {
    level_allocator() = default;
    /// Converting constructor; the allocator has no state.
    template <class U>
    level_allocator(const level_allocator<U>&) noexcept {}
    /// The same allocator for another type.
    template <class U>
    struct rebind {
        using other = level_allocator<U>; ///< see rebind
    };
};

/// Memory that an expression reads or writes.
template <class T>
using level_buffer = xt::xbuffer_adaptor<T*, xt::no_ownership, level_allocator<std::remove_const_t<T>>>;
/// Contiguous view, row-major.
template <class T, std::size_t Rank>
using level_view = xt::xtensor_adaptor<level_buffer<T>, Rank, xt::layout_type::row_major>;
/// View with a stride per dimension.
template <class T, std::size_t Rank>
using strided_level_view = xt::xtensor_adaptor<level_buffer<T>, Rank, xt::layout_type::dynamic>;

/// View of contiguous memory with the given shape.
template <class T, std::size_t Rank>
[[nodiscard]] PALI_ALWAYS_INLINE inline level_view<T, Rank> view(T* data, const std::size_t (&shape)[Rank]) {
    std::array<std::size_t, Rank> extents;
    std::size_t size = 1;
    for (std::size_t i = 0; i < Rank; ++i) size *= extents[i] = shape[i];
    return level_view<T, Rank>(level_buffer<T>(data, size), extents);
}
/// View with the given shape; `strides` are in elements.
template <class T, std::size_t Rank>
[[nodiscard]] PALI_ALWAYS_INLINE inline strided_level_view<T, Rank> view(T* data, const std::size_t (&shape)[Rank],
                                                                         const std::size_t (&strides)[Rank]) {
    std::array<std::size_t, Rank> extents;
    std::array<std::ptrdiff_t, Rank> steps;
    std::size_t size = 1; // of the view; xtensor requires it, and reads by the strides
    for (std::size_t i = 0; i < Rank; ++i) {
        size *= extents[i] = shape[i];
        steps[i] = static_cast<std::ptrdiff_t>(strides[i]);
    }
    return strided_level_view<T, Rank>(level_buffer<T>(data, size), extents, steps);
}

/// @{
/// View of a matrix.
[[nodiscard]] PALI_ALWAYS_INLINE inline level_view<float, 2> view(matrix_view& x) { return view(x.data(), {x.shape(0), x.shape(1)}); }
template <class Matrix>
[[nodiscard]] PALI_ALWAYS_INLINE inline level_view<const float, 2> view(const Matrix& x) {
    return view(x.data(), {x.shape(0), x.shape(1)});
}
/// @}

/// Widens the bits of a bfloat16. xtensor needs elements that it can add to a float, so expressions read the bits.
struct widen {
    /// Exact.
    [[nodiscard]] float operator()(std::uint16_t bits) const noexcept { return static_cast<float>(std::bit_cast<bfloat16>(bits)); }
};

/// @{
/// Weights as an expression of floats. Rows must be contiguous.
[[nodiscard]] PALI_ALWAYS_INLINE inline auto floats(rows<const float> weights) {
    PALI_ASSERT(weights.stride == weights.width);
    return view(weights.data, {weights.count, weights.width});
}
[[nodiscard]] PALI_ALWAYS_INLINE inline auto floats(rows<const bfloat16> weights) {
    PALI_ASSERT(weights.stride == weights.width);
    return xt::make_lambda_xfunction(widen{}, view(&weights.data->bits, {weights.count, weights.width}));
}
/// @}

}}}} // namespace pali::PALI_ABI::arch::PALI_SIMD
