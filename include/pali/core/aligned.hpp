// Memory that starts on a cache line.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <new>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// 64 bytes: a cache line and the widest vector.
template <class T>
struct aligned_allocator {
    using value_type = T;                            ///< what is allocated
    static constexpr std::align_val_t alignment{64}; ///< of every allocation

    aligned_allocator() = default;
    /// As good as any other: it has no state.
    template <class U>
    aligned_allocator(const aligned_allocator<U>&) noexcept {}

    /// Room for `n`, uninitialised. Throws std::bad_alloc.
    [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    /// Gives it back.
    void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, alignment); }

    friend bool operator==(const aligned_allocator&, const aligned_allocator&) = default;
};

/// A vector of numbers that kernels may load aligned.
template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

}} // namespace pali::PALI_ABI
