// Scratch memory of a forward pass: taken in order, given back by frames, grown in the first pass and not in those like it.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// A stack of uninitialised floats. What is taken inside a frame is given back when the frame ends; the memory stays, so that a pass that
/// was run once allocates nothing the next time. When the outermost frame ends, memory in several pieces becomes one piece as large as all
/// of them, so that the next pass, whatever the sizes it takes, can use all of it; the system gives pages of it only where they are
/// touched. Not thread-safe: one arena a context.
class arena {
public:
    arena() noexcept;
    ~arena();
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// Marks a place in the arena and returns to it at the end of its scope.
    class frame {
    public:
        /// What is taken from `owner` from here on is given back when this object ends. Frames end in the reverse order of their beginning.
        explicit frame(arena& owner) noexcept : m_owner(owner), m_block(owner.m_block), m_used(owner.m_used) {}
        ~frame();
        frame(const frame&) = delete;
        frame& operator=(const frame&) = delete;

    private:
        arena& m_owner;
        std::size_t m_block, m_used;
    };

    /// `n` floats, aligned to 64 bytes, uninitialised. Allocates only where no earlier pass has left enough; throws std::bad_alloc then.
    [[nodiscard]] float* take(std::size_t n);

    /// Bytes held.
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

    /// Nothing is taken: one block instead of several.
    void join() noexcept;

    static constexpr std::size_t smallest_block = std::size_t{1} << 18; // 1 MiB

    std::vector<block> m_blocks;
    std::size_t m_block = 0, m_used = 0;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/core/arena.ipp>
#endif
