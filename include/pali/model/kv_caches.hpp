// The key-value caches of a model, used again from call to call.
#pragma once

#include <pali/decoder/kv_cache.hpp>

#include <cstddef>
#include <deque>

namespace pali { inline namespace PALI_ABI {

/// One cache for each sequence that is answered at the same time.
class kv_caches {
public:
    /// Without caches; those to come keep numbers of `type`.
    explicit kv_caches(kv_type type = kv_type::f32) : m_type(type) {}

    /// Cache `i`, for sequences of `capacity` tokens: the one that is there, when it is large enough. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache& prepare(std::size_t i, const Config& config, std::size_t capacity) {
        while (m_caches.size() <= i) m_caches.emplace_back(config, capacity, m_type);
        if (m_caches[i].capacity() < capacity) m_caches[i] = kv_cache(config, capacity, m_type);
        return m_caches[i];
    }

    /// Cache `i`, which was prepared.
    [[nodiscard]] kv_cache& operator[](std::size_t i) noexcept { return m_caches[i]; }

private:
    kv_type m_type;
    std::deque<kv_cache> m_caches; // they stay where they are when others come
};

}} // namespace pali::PALI_ABI
