// A list of things of one kind for a message: the first ten, then how many more there are.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/macros.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Counts what is added and keeps the text of the first ten.
class short_list {
public:
    static constexpr std::size_t most = 10; ///< texts that are kept

    /// One more. Its text is made only where it is kept.
    void add(const error_text& one) {
        if (m_count++ < most) m_kept.push_back(one.str());
    }
    /// How many there are.
    [[nodiscard]] std::size_t size() const noexcept { return m_count; }
    /// Whether there is nothing.
    [[nodiscard]] bool empty() const noexcept { return m_count == 0; }

    /// `before` and a text, for each of the first `limit` that were kept, and how many more there are.
    [[nodiscard]] std::string joined(const char* before, std::size_t limit = most) const {
        std::string out;
        const std::size_t shown = std::min(limit, m_kept.size());
        for (std::size_t i = 0; i < shown; ++i) out.append(before).append(m_kept[i]);
        if (m_count > shown) out.append(before).append("and ").append(std::to_string(m_count - shown)).append(" more");
        return out;
    }
    /// The texts with commas between: "a, b, and 3 more".
    [[nodiscard]] std::string in_a_row(std::size_t limit = most) const { return m_count == 0 ? "" : joined(", ", limit).substr(2); }

private:
    std::vector<std::string> m_kept;
    std::size_t m_count = 0;
};

}} // namespace pali::PALI_ABI
