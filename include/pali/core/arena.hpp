// Scratch memory of a forward pass: a stack with frames. It grows in the first pass; later passes of the same size allocate nothing.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Stack of uninitialized floats. When a frame ends, the memory taken inside it is returned to the arena, not to the system, so a pass that
/// has run once allocates nothing the next time. If there are several blocks when the outermost frame ends, they are replaced by one block
/// of their total size. Then the next pass can use all of the memory, whatever sizes it takes. The system commits pages only when they are
/// touched. An arena is not thread-safe: each context has its own.
class arena {
public:
    arena() noexcept;
    ~arena();
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// Remembers a position in the arena and returns to it at the end of its scope.
    class frame {
    public:
        /// Memory taken from `owner` after this point is returned to it when the frame ends. Frames must end in reverse order of
        /// construction.
        explicit frame(arena& owner) noexcept : m_owner(owner), m_block(owner.m_block), m_used(owner.m_used) {}
        ~frame();
        frame(const frame&) = delete;
        frame& operator=(const frame&) = delete;

    private:
        arena& m_owner;
        std::size_t m_block, m_used;
    };

    /// Returns `n` uninitialized floats, aligned to 64 bytes. Allocates only if the arena has too little unused memory; throws
    /// std::bad_alloc if the allocation fails.
    [[nodiscard]] float* take(std::size_t n);

    /// Bytes allocated.
    [[nodiscard]] std::size_t bytes() const noexcept;

private:
    static constexpr std::align_val_t alignment{64};
    struct give_back {
        void operator()(float* memory) const noexcept { ::operator delete(memory, alignment); }
    };
    struct block {
        explicit block(std::size_t n) : size(n), memory(static_cast<float*>(::operator new(n * sizeof(float), alignment))) {}
        std::size_t size;
        std::unique_ptr<float, give_back> memory;
    };

    /// Replaces all blocks by one of their total size. No memory may be in use.
    void join() noexcept;

    static constexpr std::size_t smallest_block = std::size_t{1} << 18; // 1 MiB

    std::vector<block> m_blocks;
    std::size_t m_block = 0, m_used = 0;
};

}}} // namespace pali::PALI_ABI::core

#ifndef PALI_COMPILED
#  include <pali/core/arena.ipp>
#endif
