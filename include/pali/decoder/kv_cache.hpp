// Keys and values of one sequence, for every layer.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/error.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/kernels/attention_shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>

namespace pali::inline PALI_ABI {

/// What earlier tokens of a sequence left for later ones: a fixed capacity, (layer, keys | values, head, token, padded head_dim).
class kv_cache {
public:
    /// Empty, for sequences of at most `capacity` tokens. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache(const Config& config, std::size_t capacity, kv_type type = kv_type::f32)
        : m_type(type), m_capacity(capacity), m_heads(config.kv_heads),
          m_depth(type == kv_type::f32 ? kernels::padded_head_dim<float>(config.head_dim) : kernels::padded_head_dim<bfloat16>(config.head_dim)),
          m_head_bytes(capacity * m_depth * (type == kv_type::f32 ? sizeof(float) : sizeof(bfloat16))), m_bytes(std::size_t{2} * config.layers * m_heads * m_head_bytes),
          m_memory(std::calloc(m_bytes + alignment, 1), &std::free) {
        if (!m_memory) throw std::bad_alloc();
        void* place = m_memory.get();
        std::size_t room = m_bytes + alignment;
        m_data = static_cast<std::byte*>(std::align(alignment, m_bytes, place, room));
    }

    /// Tokens that the cache holds.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    /// Tokens that it can hold.
    [[nodiscard]] std::size_t capacity() const noexcept { return m_capacity; }
    /// Tokens at the beginning that all see each other: image, BOS, prompt, "\n".
    [[nodiscard]] std::size_t prefix() const noexcept { return m_prefix; }
    /// Bytes for all tokens that it can hold; the system gives pages of them where tokens come.
    [[nodiscard]] std::size_t bytes() const noexcept { return m_bytes; }
    /// Numbers that it keeps.
    [[nodiscard]] kv_type type() const noexcept { return m_type; }

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
    /// Takes over tokens [first, length) of a cache of the same model and type.
    void copy_from(const kv_cache& other, std::size_t first, std::size_t length) noexcept {
        PALI_ASSERT(other.m_heads == m_heads && other.m_depth == m_depth && other.m_type == m_type && length <= m_capacity);
        const std::size_t token_bytes = m_head_bytes / m_capacity;
        for (std::size_t h = 0; h < m_bytes / m_head_bytes; ++h)
            std::memcpy(m_data + h * m_head_bytes + first * token_bytes, other.m_data + h * other.m_head_bytes + first * token_bytes, (length - first) * token_bytes);
        m_length = length;
        m_prefix = other.m_prefix;
    }

    /// Calls f(keys, values) with those of a layer: kernels::head_view of float or bfloat16.
    template <class F>
    void visit(std::size_t layer, F&& f) const {
        if (m_type == kv_type::f32) f(view<float>(2 * layer), view<float>(2 * layer + 1));
        else f(view<bfloat16>(2 * layer), view<bfloat16>(2 * layer + 1));
    }
    /// Keeps the key and the value, head_dim numbers each, of a head and token.
    void store(std::size_t layer, std::size_t head, std::size_t token, std::span<const float> key, std::span<const float> value) noexcept {
        PALI_ASSERT(token < m_capacity && head < m_heads && key.size() <= m_depth && value.size() == key.size());
        if (m_type == kv_type::f32) put<float>(layer, head, token, key, value);
        else put<bfloat16>(layer, head, token, key, value);
    }

private:
    template <class Element>
    [[nodiscard]] kernels::head_view<Element> view(std::size_t part) const noexcept {
        return {.data = reinterpret_cast<const Element*>(m_data + part * m_heads * m_head_bytes), .token_stride = m_depth, .head_stride = m_capacity * m_depth};
    }
    template <class Element>
    void put(std::size_t layer, std::size_t head, std::size_t token, std::span<const float> key, std::span<const float> value) noexcept {
        const auto at = [&](std::size_t part) { return reinterpret_cast<Element*>(m_data + (part * m_heads + head) * m_head_bytes) + token * m_depth; };
        std::transform(key.begin(), key.end(), at(2 * layer), [](float x) { return Element(x); });
        std::transform(value.begin(), value.end(), at(2 * layer + 1), [](float x) { return Element(x); });
    }

    static constexpr std::size_t alignment = 64; // bytes: a cache line

    kv_type m_type;
    std::size_t m_capacity, m_heads, m_depth, m_head_bytes, m_bytes, m_length = 0, m_prefix = 0;
    std::unique_ptr<void, void (*)(void*)> m_memory; // zeroed, and not touched before a token comes: what is not used costs nothing
    std::byte* m_data = nullptr;                     // in it; the padding of heads stays zero
};

} // namespace pali::inline PALI_ABI
