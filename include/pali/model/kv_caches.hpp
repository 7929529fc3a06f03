// The KV caches of a model, reused across calls.
#pragma once

#include <pali/decoder/kv_cache.hpp>

#include <cstddef>
#include <deque>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// One KV cache per sequence of a batch.
class kv_caches {
public:
    /// Starts without caches. The caches that prepare() creates store elements of `type`.
    explicit kv_caches(kv_type type = kv_type::f32) : m_type(type) {}

    /// Returns cache `i` with room for `capacity` tokens. Reuses the existing cache if it is large enough. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache& prepare(std::size_t i, const Config& config, std::size_t capacity) {
        while (m_caches.size() <= i) m_caches.emplace_back(config, capacity, m_type);
        if (m_caches[i].capacity() < capacity) m_caches[i] = kv_cache(config, capacity, m_type);
        return m_caches[i];
    }

    /// Cache `i`; prepare(i) must have been called.
    [[nodiscard]] kv_cache& operator[](std::size_t i) noexcept { return m_caches[i]; }

private:
    kv_type m_type;
    std::deque<kv_cache> m_caches; // a deque: references stay valid when it grows
};

}}} // namespace pali::PALI_ABI::model_detail
