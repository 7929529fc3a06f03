// Table of the angles of rotary position embedding (RoPE): each pair (i, i + head_dim / 2) of a head is rotated by an angle proportional
// to the position.
#pragma once

#include <pali/core/aligned.hpp>
#include <pali/core/rows.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Cosines and sines of one position, one of each per pair.
struct rope_angles {
    const float* cosine = nullptr; ///< (half)
    const float* sine = nullptr;   ///< (half)
    std::size_t half = 0;          ///< pairs per head
};

/// Cosines and sines of every position and pair, computed once. Su et al., arXiv 2104.09864. Heads are split into halves as in big_vision
/// models/ppp/gemma.py _apply_rope; angles are rounded to float32 as in transformers.
class rope_table {
public:
    /// Creates a table for heads of `head_dim` elements with base `theta`; it covers no position yet. Always inlined, as extend() is: they
    /// have vector instructions, and translation units with different flags would share them.
    PALI_ALWAYS_INLINE rope_table(std::size_t head_dim, float theta) {
        for (std::size_t i = 0; i < head_dim / 2; ++i)
            m_frequencies.push_back(1.f / std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(head_dim)));
    }

    /// Number of positions covered.
    [[nodiscard]] std::size_t positions() const noexcept { return m_table.size() / (2 * m_frequencies.size()); }

    /// Covers positions [0, positions); computes only those not yet covered.
    PALI_ALWAYS_INLINE void extend(std::size_t positions) {
        const std::size_t half = m_frequencies.size(), covered = this->positions();
        if (positions <= covered) return;
        m_table.resize(positions * 2 * half);
        for (std::size_t p = covered; p < positions; ++p)
            for (std::size_t i = 0; i < half; ++i) {
                const float angle = static_cast<float>(p) * m_frequencies[i];
                m_table[p * 2 * half + i] = std::cos(angle);
                m_table[(p * 2 + 1) * half + i] = std::sin(angle);
            }
    }

    /// Angles of `position`, which must be covered.
    [[nodiscard]] rope_angles at(std::size_t position) const noexcept {
        PALI_ASSERT(position < positions());
        const std::size_t half = m_frequencies.size();
        const float* const cosine = m_table.data() + position * 2 * half;
        return {cosine, cosine + half, half};
    }

private:
    std::vector<float> m_frequencies;
    aligned_vector<float> m_table; // (positions, cosine | sine, half)
};

}}} // namespace pali::PALI_ABI::kernels
