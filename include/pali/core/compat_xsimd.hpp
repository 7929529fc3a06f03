// The only header that depends on the xsimd version: names that changed between 8.1 and 14.
#pragma once

#include <pali/core/macros.hpp>

#if !__has_include(<xsimd/xsimd.hpp>)
#  error "pali needs xsimd (Debian: libxsimd-dev)"
#endif
// g++ 12 warns about its own 512-bit intrinsics wherever they are inlined (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic push
#  pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#  pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>

/// Functions whose name or signature differs between xsimd releases.
namespace pali { inline namespace PALI_ABI { namespace compat {

/// Sum of the lanes. The function is named hadd up to xsimd 8 and reduce_add since xsimd 9.
template <class Batch>
[[nodiscard]] inline typename Batch::value_type reduce_add(const Batch& x) noexcept {
#if XSIMD_VERSION_MAJOR >= 9
    return xsimd::reduce_add(x);
#else
    return xsimd::hadd(x);
#endif
}

/// Largest lane. xsimd 8 has no such function. In xsimd 14, the function for 512 bits uses intrinsics that make g++ 12 warn in the user's
/// build.
template <class Batch>
[[nodiscard]] inline typename Batch::value_type reduce_max(const Batch& x) noexcept {
    alignas(64) typename Batch::value_type lanes[Batch::size];
    x.store_aligned(lanes);
    auto top = lanes[0];
    for (std::size_t i = 1; i < Batch::size; ++i) top = lanes[i] > top ? lanes[i] : top;
    return top;
}

/// Reinterprets bits as float lanes. The template argument of xsimd::bitwise_cast is a batch type up to xsimd 10 and an element type since
/// xsimd 11.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> as_float(const xsimd::batch<std::uint32_t, Arch>& bits) noexcept {
#if XSIMD_VERSION_MAJOR >= 11
    return xsimd::bitwise_cast<float>(bits);
#else
    return xsimd::bitwise_cast<xsimd::batch<float, Arch>>(bits);
#endif
}

}}} // namespace pali::PALI_ABI::compat
