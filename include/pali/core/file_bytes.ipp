// A file as a sequence of bytes for a parser, which need not be in memory as a whole. Included by bodies only.
#pragma once

#include <pali/core/macros.hpp>

#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>

namespace pali::inline PALI_ABI::detail {

/// The bytes of a file, 64 KB at a time, as an input iterator for the parser. A default iterator is the end.
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
        const char* at = nullptr;
        const char* end = nullptr;
        void refill() {
            in.read(buffer.data(), buffer.size());
            at = buffer.data();
            end = at + in.gcount();
        }
    };

    file_bytes() = default;
    explicit file_bytes(source& from) : m_source(&from) { from.refill(); }
    [[nodiscard]] reference operator*() const noexcept { return *m_source->at; }
    file_bytes& operator++() {
        if (++m_source->at == m_source->end) m_source->refill();
        return *this;
    }
    [[nodiscard]] friend bool operator==(const file_bytes& a, const file_bytes& b) noexcept { return a.is_end() == b.is_end(); }

private:
    [[nodiscard]] bool is_end() const noexcept { return m_source == nullptr || m_source->at == m_source->end; }

    source* m_source = nullptr;
};

} // namespace pali::inline PALI_ABI::detail
