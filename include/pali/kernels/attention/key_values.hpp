// Keys and values of all heads, in the order in which attention reads them.
#pragma once

#include <pali/arch/prefetch.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Row-interleaved matrix: 4 / sizeof(Element) consecutive rows are interleaved element by element (bfloat16: pairs of rows; float: none).
template <class Element>
struct paired_rows {
    static constexpr std::size_t pair = 4 / sizeof(Element); ///< number of interleaved rows, whose elements fill 4 bytes

    Element* data = nullptr; ///< first element of row 0
    std::size_t width = 0;   ///< elements of a row

    /// The element at (row, column); not checked.
    [[nodiscard]] Element& at(std::size_t row, std::size_t column) const noexcept {
        return data[(row / pair * width + column) * pair + row % pair];
    }
    /// The matrix without its first `row` rows; `row` must be a multiple of `pair`.
    [[nodiscard]] paired_rows from(std::size_t row) const noexcept { return {data + row * width, width}; }
};

/**
 * Keys and values of all heads; a view of memory. Keys are transposed in blocks of 64: (block, element of the head, key). Values are not
 * transposed: (token, element of the head). In this order neighboring elements belong to different sums, so each lane of a register
 * accumulates its own sum and no horizontal additions are needed.
 */
template <class Element>
struct key_values {
    static constexpr std::size_t keys_a_block = 64; ///< a block and its scores for some queries stay in L1 and L2

    Element* data = nullptr;  ///< keys of head 0, values of head 0, keys of head 1, ...
    std::size_t capacity = 0; ///< maximum number of tokens
    std::size_t head_dim = 0; ///< elements of a head

    /// Elements of memory for `heads` heads. The memory must start at a cache line.
    [[nodiscard]] static constexpr std::size_t elements(std::size_t heads, std::size_t capacity, std::size_t head_dim) noexcept {
        return heads * key_values{nullptr, capacity, head_dim}.head_elements();
    }

    /// Keys [64 · block, 64 · block + 64), transposed: (head_dim, 64).
    [[nodiscard]] paired_rows<Element> keys(std::size_t head, std::size_t block) const noexcept {
        return {data + head * head_elements() + block * keys_a_block * key_depth(), keys_a_block};
    }
    /// Values of a head: (token, value_width()).
    [[nodiscard]] paired_rows<Element> values(std::size_t head) const noexcept {
        return {data + head * head_elements() + tokens() * key_depth(), value_width()};
    }
    /// Elements of a value including padding: a multiple of 16, so that the weighted sums of values fill whole cache lines.
    [[nodiscard]] constexpr std::size_t value_width() const noexcept { return (head_dim + line - 1) / line * line; }

    /// An element of a key; not checked.
    [[nodiscard]] Element& key(std::size_t head, std::size_t token, std::size_t element) const noexcept {
        return keys(head, token / keys_a_block).at(element, token % keys_a_block);
    }
    /// An element of a value; not checked.
    [[nodiscard]] Element& value(std::size_t head, std::size_t token, std::size_t element) const noexcept {
        return values(head).at(token, element);
    }

    /// Stores the key and the value of one token, head_dim elements each. Always inlined: it has vector instructions, and translation units
    /// with different flags would share it.
    PALI_ALWAYS_INLINE void put(std::size_t head, std::size_t token, std::span<const float> new_key,
                                std::span<const float> new_value) const noexcept {
        PALI_ASSERT(token < capacity && new_key.size() == head_dim && new_value.size() == head_dim);
        const auto all_keys = keys(head, token / keys_a_block), all_values = values(head);
        for (std::size_t d = 0; d < key_depth(); ++d)
            arch::fetch_ahead(&all_keys.at(d, token % keys_a_block)); // each element of a key is in a different cache line
        for (std::size_t d = 0; d < key_depth(); ++d) all_keys.at(d, token % keys_a_block) = Element(d < head_dim ? new_key[d] : 0.f);
        for (std::size_t d = 0; d < value_width(); ++d) all_values.at(token, d) = Element(d < head_dim ? new_value[d] : 0.f);
    }
    /// Copies tokens [first, end) of one head from `other`, which must have the same head_dim. Always inlined, as put() is.
    PALI_ALWAYS_INLINE void copy_from(const key_values& other, std::size_t head, std::size_t first, std::size_t end) const noexcept {
        PALI_ASSERT(end <= capacity && end <= other.capacity && other.head_dim == head_dim);
        for (std::size_t begin = first, next; begin < end; begin = next) {
            next = std::min(end, (begin / keys_a_block + 1) * keys_a_block);
            const auto to = keys(head, begin / keys_a_block), from = other.keys(head, begin / keys_a_block);
            for (std::size_t d = 0; d < key_depth(); ++d)
                for (std::size_t t = begin % keys_a_block; t < begin % keys_a_block + next - begin; ++t) to.at(d, t) = from.at(d, t);
            for (std::size_t t = begin; t < next; ++t)
                for (std::size_t d = 0; d < value_width(); ++d) value(head, t, d) = other.value(head, t, d);
        }
    }

private:
    static constexpr std::size_t line = 64 / sizeof(float);

    [[nodiscard]] constexpr std::size_t tokens() const noexcept { return (capacity + keys_a_block - 1) / keys_a_block * keys_a_block; }
    [[nodiscard]] constexpr std::size_t key_depth() const noexcept {
        constexpr std::size_t pair = paired_rows<Element>::pair;
        return (head_dim + pair - 1) / pair * pair;
    }
    [[nodiscard]] constexpr std::size_t head_elements() const noexcept { return tokens() * (key_depth() + value_width()); }
};

}}} // namespace pali::PALI_ABI::kernels
