// Allocator for memory aligned to cache lines.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <new>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Allocator that aligns to 64 bytes, the size of a cache line and of the widest SIMD register.
template <class T>
struct aligned_allocator {
    using value_type = T;                            ///< type of the elements
    static constexpr std::align_val_t alignment{64}; ///< alignment of every allocation

    aligned_allocator() = default;
    /// Converting constructor; the allocator has no state.
    template <class U>
    aligned_allocator(const aligned_allocator<U>&) noexcept {}

    /// Allocates uninitialized memory for `n` elements. Throws std::bad_alloc.
    [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    /// Frees memory from allocate().
    void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, alignment); }

    friend bool operator==(const aligned_allocator&, const aligned_allocator&) = default;
};

/// Vector whose elements kernels may read with aligned loads.
template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

}}} // namespace pali::PALI_ABI::core
