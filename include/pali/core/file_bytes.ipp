// A file as a sequence of bytes for a parser, without loading the whole file. Included by bodies only.
#pragma once

#include <pali/core/macros.hpp>

#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Input iterator over the bytes of a file, read in blocks of 64 KB. A default-constructed iterator is the end.
class file_bytes {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    struct source {
        std::ifstream in;
        std::array<char, 1 << 16> buffer{};
    };

    file_bytes() = default;
    explicit file_bytes(source& from) : m_source(&from) { refill(); }
    [[nodiscard]] reference operator*() const noexcept { return *m_at; }
    file_bytes& operator++() {
        if (++m_at == m_end) refill();
        return *this;
    }
    /// Supports comparison with the end only.
    [[nodiscard]] friend bool operator==(const file_bytes& a, const file_bytes& b) noexcept {
        return (a.m_at == a.m_end) == (b.m_at == b.m_end);
    }

private:
    void refill() {
        m_source->in.read(m_source->buffer.data(), static_cast<std::streamsize>(m_source->buffer.size()));
        m_at = m_source->buffer.data();
        m_end = m_at + m_source->in.gcount();
    }

    source* m_source = nullptr;
    const char* m_at = nullptr;
    const char* m_end = nullptr;
};

}}} // namespace pali::PALI_ABI::core
