// Portable pseudorandom numbers.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>

namespace pali { inline namespace PALI_ABI { namespace decoding {

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a mixed counter. All seeds are equally good.
class random_source {
public:
    /// Equal seeds give equal sequences on every platform.
    explicit random_source(std::uint64_t seed) noexcept : m_state(seed) {}

    /// Returns 64 random bits.
    [[nodiscard]] std::uint64_t bits() noexcept {
        std::uint64_t z = m_state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// Returns a number in [0, 1), a multiple of 2^-53.
    [[nodiscard]] double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

private:
    std::uint64_t m_state;
};

}}} // namespace pali::PALI_ABI::decoding
