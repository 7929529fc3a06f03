// Random numbers that are the same everywhere.
#pragma once

#include <pali/core/macros.hpp>

#include <cstdint>

namespace pali { inline namespace PALI_ABI {

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a counter, mixed. Any seed is as good as another.
class random_source {
public:
    /// Two sources of the same seed give the same numbers.
    explicit random_source(std::uint64_t seed) noexcept : m_state(seed) {}

    /// 64 random bits.
    [[nodiscard]] std::uint64_t bits() noexcept {
        std::uint64_t z = m_state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// At least 0 and less than 1, in steps of 2^-53.
    [[nodiscard]] double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

private:
    std::uint64_t m_state;
};

}} // namespace pali::PALI_ABI
