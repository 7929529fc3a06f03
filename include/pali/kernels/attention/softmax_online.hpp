// Online softmax: the sums of a block of queries are carried from one block of keys to the next, so no score matrix is stored.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD { namespace detail {

/// Running softmax of one query (Milakov & Gimelshein, arXiv 1805.02867).
struct running_softmax {
    float top = -std::numeric_limits<float>::infinity();
    float sum = 0;

    /// Replaces scores by exp(scores - top). Only [begin, end) of the n scores are visible; the others become 0. Returns the factor by
    /// which earlier terms must be multiplied.
    template <class A>
    float take(arch::simd<A>, float* scores, std::size_t n, std::size_t begin, std::size_t end) noexcept {
        using batch = xsimd::batch<float, A>;
        constexpr float nothing = -std::numeric_limits<float>::infinity();
        const std::size_t padded = (n + batch::size - 1) / batch::size * batch::size;
        if (begin >= end) {
            std::fill(scores, scores + padded, 0.f);
            return 1.f;
        }
        std::fill(scores, scores + begin, nothing);
        std::fill(scores + end, scores + padded, nothing);
        batch tops(top);
        for (std::size_t j = 0; j < padded; j += batch::size) tops = xsimd::max(tops, batch::load_aligned(scores + j));
        const float highest = compat::reduce_max(tops);
        batch sums(0.f);
        for (std::size_t j = 0; j < padded; j += batch::size) {
            const auto e = xsimd::exp(batch::load_aligned(scores + j) - batch(highest));
            e.store_aligned(scores + j);
            sums += e;
        }
        const float decay = top == highest ? 1.f : std::exp(top - highest);
        sum = sum * decay + compat::reduce_add(sums);
        top = highest;
        return decay;
    }
};

/// The accumulators of n queries: running softmax (n), and weighted sums of values (n, depth), not yet divided by the softmax sums. A view
/// of memory, which may have room for more rows after the sums.
struct gathered {
    running_softmax* softmax = nullptr;
    rows<float> sums;

    /// Floats of memory for up to n queries, in whole cache lines.
    [[nodiscard]] static constexpr std::size_t floats(std::size_t n, std::size_t depth) noexcept { return softmax_floats(n) + n * depth; }

    gathered(float* memory, std::size_t n, std::size_t depth) noexcept
        : softmax(reinterpret_cast<running_softmax*>(memory)), sums(memory + softmax_floats(n), n, depth) {}

    /// Resets to the state before any key was seen.
    void clear() noexcept {
        std::fill(sums.data, sums.data + sums.count * sums.width, 0.f);
        for (std::size_t i = 0; i < sums.count; ++i) std::construct_at(softmax + i);
    }

    /// Adds the accumulators of the same queries over other keys.
    template <class A>
    void add(arch::simd<A>, const gathered& other) noexcept {
        using batch = xsimd::batch<float, A>;
        for (std::size_t i = 0; i < sums.count; ++i) {
            const running_softmax mine = softmax[i], theirs = other.softmax[i];
            if (theirs.sum == 0) continue; // this query has seen no key there
            const float top = std::max(mine.top, theirs.top), by = std::exp(mine.top - top), their_by = std::exp(theirs.top - top);
            for (std::size_t d = 0; d < sums.width; d += batch::size)
                arch::fma(batch::load_aligned(other.sums[i] + d), batch(their_by), batch::load_aligned(sums[i] + d) * batch(by))
                    .store_aligned(sums[i] + d);
            softmax[i] = {top, mine.sum * by + theirs.sum * their_by};
        }
    }

private:
    [[nodiscard]] static constexpr std::size_t softmax_floats(std::size_t n) noexcept {
        static_assert(sizeof(running_softmax) == 2 * sizeof(float));
        return (2 * n + 15) / 16 * 16;
    }
};

}}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD::detail
