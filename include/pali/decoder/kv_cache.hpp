// KV cache of one sequence, for all layers.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/error.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/kernels/attention/key_values.hpp>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace nn {

/// Keys and values of earlier tokens: fixed capacity, one kernels::key_values per layer.
class kv_cache {
public:
    /// An empty cache for up to `capacity` tokens. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache(const Config& config, std::size_t capacity, kv_type type = kv_type::f32)
        : m_type(type), m_capacity(capacity), m_layers(config.layers), m_heads(config.kv_heads), m_head_dim(config.head_dim),
          m_layer_bytes(layer_bytes(config, capacity, type)), m_bytes(m_layers * m_layer_bytes),
          m_memory(std::calloc(m_bytes + alignment, 1), &std::free) {
        if (!m_memory) throw std::bad_alloc();
        void* place = m_memory.get();
        std::size_t room = m_bytes + alignment;
        m_data = static_cast<std::byte*>(std::align(alignment, m_bytes, place, room));
    }

    /// Bytes of one layer of a cache for `capacity` tokens.
    template <decoder_config Config>
    [[nodiscard]] static constexpr std::size_t layer_bytes(const Config& config, std::size_t capacity, kv_type type) noexcept {
        const auto of = [&]<class Element>(const Element*) {
            return kernels::key_values<Element>::elements(config.kv_heads, capacity, config.head_dim) * sizeof(Element);
        };
        return type == kv_type::f32 ? of(static_cast<float*>(nullptr)) : of(static_cast<bfloat16*>(nullptr));
    }
    /// Number of tokens in the cache.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    /// Maximum number of tokens.
    [[nodiscard]] std::size_t capacity() const noexcept { return m_capacity; }
    /// Length of the prefix, whose tokens attend to each other in both directions: image, BOS, prompt, "\n".
    [[nodiscard]] std::size_t prefix() const noexcept { return m_prefix; }
    /// Bytes reserved for `capacity` tokens. The operating system commits pages on first write.
    [[nodiscard]] std::size_t bytes() const noexcept { return m_bytes; }
    /// Element type.
    [[nodiscard]] kv_type type() const noexcept { return m_type; }

    /// Empties the cache for a sequence with a bidirectional prefix of `prefix` tokens.
    void start(std::size_t prefix) noexcept {
        m_length = 0;
        m_prefix = prefix;
    }
    /// Commits `count` tokens that were stored in every layer. Throws errc::capacity_exceeded.
    void advance(std::size_t count) {
        require(count);
        m_length += count;
    }
    /// Throws errc::capacity_exceeded if `count` more tokens do not fit.
    void require(std::size_t count) const {
        if (m_length + count > m_capacity)
            throw error(errc::capacity_exceeded,
                        {"a sequence of ", m_length + count, " tokens does not fit into a KV cache of ", m_capacity});
    }
    /// Copies tokens [first, length) from a cache of the same model and type. Sets the length to `length` and the prefix to that of
    /// `other`. Always inlined, as kernels::key_values::put() is.
    PALI_ALWAYS_INLINE void copy_from(const kv_cache& other, std::size_t first, std::size_t length) noexcept {
        PALI_ASSERT(other.m_layers == m_layers && other.m_heads == m_heads && other.m_head_dim == m_head_dim && other.m_type == m_type &&
                    length <= m_capacity);
        for (std::size_t layer = 0; layer < m_layers; ++layer)
            visit(layer, [&]<class Element>(const kernels::key_values<Element>& mine) PALI_ALWAYS_INLINE {
                for (std::size_t head = 0; head < m_heads; ++head) mine.copy_from(other.view<Element>(layer), head, first, length);
            });
        m_length = length;
        m_prefix = other.m_prefix;
    }

    /// Calls f with the kernels::key_values of a layer, of float or bfloat16.
    template <class F>
    PALI_ALWAYS_INLINE void visit(std::size_t layer, F&& f) const {
        if (m_type == kv_type::f32) f(view<float>(layer));
        else f(view<bfloat16>(layer));
    }
    /// Stores the key and the value, head_dim elements each, of one head and position. Always inlined, as kernels::key_values::put() is.
    PALI_ALWAYS_INLINE void store(std::size_t layer, std::size_t head, std::size_t position, std::span<const float> key,
                                  std::span<const float> value) noexcept {
        PALI_ASSERT(layer < m_layers && head < m_heads && position < m_capacity);
        visit(layer, [&](const auto& all) PALI_ALWAYS_INLINE { all.put(head, position, key, value); });
    }

private:
    template <class Element>
    [[nodiscard]] kernels::key_values<Element> view(std::size_t layer) const noexcept {
        return {.data = reinterpret_cast<Element*>(m_data + layer * m_layer_bytes), .capacity = m_capacity, .head_dim = m_head_dim};
    }

    static constexpr std::size_t alignment = 64; // bytes: a cache line

    kv_type m_type;
    std::size_t m_capacity, m_layers, m_heads, m_head_dim, m_layer_bytes, m_bytes, m_length = 0, m_prefix = 0;
    std::unique_ptr<void, void (*)(void*)> m_memory; // from calloc: zeroed, and pages that are never touched use no memory
    std::byte* m_data = nullptr;                     // aligned pointer into m_memory
};

}}} // namespace pali::PALI_ABI::nn
