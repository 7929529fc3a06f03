// Bodies of arena.hpp.
#pragma once

#include <pali/core/arena.hpp>

#include <algorithm>

namespace pali { inline namespace PALI_ABI { namespace core {

PALI_INLINE arena::arena() noexcept = default;
PALI_INLINE arena::~arena() = default;

PALI_INLINE arena::frame::~frame() {
    m_owner.m_block = m_block;
    m_owner.m_used = m_used;
    if (m_block == 0 && m_used == 0) m_owner.join();
}

PALI_INLINE float* arena::take(std::size_t n) {
    n = (n + 15) / 16 * 16;
    while (m_block < m_blocks.size() && m_used + n > m_blocks[m_block].size) {
        ++m_block;
        m_used = 0;
    }
    if (m_block == m_blocks.size()) {
        m_blocks.emplace_back(std::max(n, smallest_block));
        m_used = 0;
    }
    float* const taken = m_blocks[m_block].memory.get() + m_used;
    m_used += n;
    return taken;
}

PALI_INLINE std::size_t arena::bytes() const noexcept {
    std::size_t sum = 0;
    for (const block& b : m_blocks) sum += b.size * sizeof(float);
    return sum;
}

PALI_INLINE void arena::join() noexcept {
    if (m_blocks.size() < 2) return;
    const std::size_t n = bytes() / sizeof(float);
    m_blocks.clear();
    try {
        m_blocks.emplace_back(n);
    } catch (const std::bad_alloc&) {} // the next pass allocates what it needs
}

}}} // namespace pali::PALI_ABI::core
