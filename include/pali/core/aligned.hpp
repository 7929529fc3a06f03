// Memory that starts on a cache line.
#pragma once

#include <pali/core/compat_xsimd.hpp>

#include <vector>

namespace pali::inline PALI_ABI {

/// 64 bytes: a cache line and the widest vector.
template <class T>
using aligned_allocator = xsimd::aligned_allocator<T, 64>;

/// A vector of numbers that kernels may load aligned.
template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

} // namespace pali::inline PALI_ABI
