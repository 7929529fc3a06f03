// Keys and values of one sequence, for every layer.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/core/error.hpp>
#include <pali/kernels/attention_shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

namespace pali::inline PALI_ABI {

/// What earlier tokens of a sequence left for later ones: float32, a fixed capacity, (layer, keys | values, head, token, padded head_dim).
class kv_cache {
public:
    /// Empty, for sequences of at most `capacity` tokens. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache(const Config& config, std::size_t capacity)
        : m_capacity(capacity), m_heads(config.kv_heads), m_depth(kernels::padded_head_dim(config.head_dim)),
          m_size(std::size_t{2} * config.layers * m_heads * capacity * m_depth), m_memory(std::calloc(m_size + alignment, sizeof(float)), &std::free) {
        if (!m_memory) throw std::bad_alloc();
        void* place = m_memory.get();
        std::size_t room = (m_size + alignment) * sizeof(float);
        m_data = static_cast<float*>(std::align(alignment, m_size * sizeof(float), place, room));
    }

    /// Tokens that the cache holds, and that it can hold.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    [[nodiscard]] std::size_t capacity() const noexcept { return m_capacity; }
    /// Tokens at the beginning that all see each other: image, BOS, prompt, "\n".
    [[nodiscard]] std::size_t prefix() const noexcept { return m_prefix; }
    [[nodiscard]] std::size_t bytes() const noexcept { return m_size * sizeof(float); }

    /// Forgets everything; the next sequence begins with `prefix` tokens that see each other.
    void start(std::size_t prefix) noexcept {
        m_length = 0;
        m_prefix = prefix;
    }
    /// `count` more tokens are complete in every layer. Throws errc::capacity_exceeded.
    void advance(std::size_t count) {
        require(count);
        m_length += count;
    }
    /// Forgets the tokens from `length` on.
    void truncate(std::size_t length) noexcept { m_length = std::min(m_length, length); }
    /// Throws errc::capacity_exceeded where `count` more tokens do not fit.
    void require(std::size_t count) const {
        if (m_length + count > m_capacity)
            throw error(errc::capacity_exceeded, "a sequence of " + std::to_string(m_length + count) + " tokens does not fit a key-value cache of " + std::to_string(m_capacity));
    }
    /// Takes over the first `length` tokens of a cache of the same model.
    void copy_from(const kv_cache& other, std::size_t first, std::size_t length) noexcept {
        PALI_ASSERT(other.m_heads == m_heads && other.m_depth == m_depth && length <= m_capacity);
        const std::size_t heads = m_size / (m_capacity * m_depth);
        for (std::size_t h = 0; h < heads; ++h)
            std::copy_n(other.m_data + (h * other.m_capacity + first) * m_depth, (length - first) * m_depth,
                        m_data + (h * m_capacity + first) * m_depth);
        m_length = length;
        m_prefix = other.m_prefix;
    }

    [[nodiscard]] kernels::head_view keys(std::size_t layer) const noexcept { return view(2 * layer); }
    [[nodiscard]] kernels::head_view values(std::size_t layer) const noexcept { return view(2 * layer + 1); }
    /// Where the key, or the value, of a head belongs.
    [[nodiscard]] float* key(std::size_t layer, std::size_t head, std::size_t token) noexcept { return at(2 * layer, head, token); }
    [[nodiscard]] float* value(std::size_t layer, std::size_t head, std::size_t token) noexcept { return at(2 * layer + 1, head, token); }

private:
    [[nodiscard]] kernels::head_view view(std::size_t part) const noexcept {
        return {.data = m_data + part * m_heads * m_capacity * m_depth, .token_stride = m_depth, .head_stride = m_capacity * m_depth};
    }
    [[nodiscard]] float* at(std::size_t part, std::size_t head, std::size_t token) noexcept {
        PALI_ASSERT(token < m_capacity && head < m_heads);
        return m_data + ((part * m_heads + head) * m_capacity + token) * m_depth;
    }

    static constexpr std::size_t alignment = 64; // bytes; taken as floats it is more than enough room

    std::size_t m_capacity, m_heads, m_depth, m_size, m_length = 0, m_prefix = 0;
    std::unique_ptr<void, void (*)(void*)> m_memory; // zeroed, and not touched before a token comes: what is not used costs nothing
    float* m_data = nullptr;                         // in it; the padding of heads stays zero
};

} // namespace pali::inline PALI_ABI
