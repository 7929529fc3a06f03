// Scratch memory of a forward pass: taken in order, given back by frames, grown between passes and not within a token.
#pragma once

#include <pali/core/aligned.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pali::inline PALI_ABI {

/// A stack of uninitialised floats. What is taken inside a frame is given back when the frame ends; the memory stays, so that a
/// pass that was run once allocates nothing the next time. Not thread-safe: one arena a context.
class arena {
    using block = aligned_vector<float>;

public:
    /// Marks a place in the arena and returns to it at the end of its scope.
    class frame {
    public:
        explicit frame(arena& owner) noexcept : m_owner(owner), m_block(owner.m_block), m_used(owner.m_used) {}
        ~frame() {
            m_owner.m_block = m_block;
            m_owner.m_used = m_used;
        }
        frame(const frame&) = delete;
        frame& operator=(const frame&) = delete;

    private:
        arena& m_owner;
        std::size_t m_block, m_used;
    };

    /// `n` floats, aligned to 64 bytes, uninitialised. Allocates only where no earlier pass has left enough.
    [[nodiscard]] float* take(std::size_t n) {
        n = (n + 15) / 16 * 16;
        while (m_block < m_blocks.size() && m_used + n > m_blocks[m_block].size()) {
            ++m_block;
            m_used = 0;
        }
        if (m_block == m_blocks.size()) {
            m_blocks.emplace_back(std::max(n, smallest_block));
            m_used = 0;
        }
        float* const taken = m_blocks[m_block].data() + m_used;
        m_used += n;
        return taken;
    }

    /// Bytes held.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (const block& b : m_blocks) sum += b.size() * sizeof(float);
        return sum;
    }

private:
    static constexpr std::size_t smallest_block = std::size_t{1} << 18; // 1 MiB

    std::vector<block> m_blocks;
    std::size_t m_block = 0, m_used = 0;
};

} // namespace pali::inline PALI_ABI
