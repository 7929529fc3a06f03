// A list of similar items for a message: the first ten, and how many more there are.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/macros.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Counts items and keeps the text of the first ten.
class short_list {
public:
    static constexpr std::size_t most = 10; ///< number of texts that are kept

    /// Adds an item. Its text is formatted only if it is kept.
    void add(error_text&& one) {
        if (m_count++ < most) m_kept.push_back(std::move(one).str());
    }
    /// Number of items added.
    [[nodiscard]] std::size_t size() const noexcept { return m_count; }
    /// Whether no item was added.
    [[nodiscard]] bool empty() const noexcept { return m_count == 0; }

    /// The first `limit` kept texts, each preceded by `before`, then the number of items left out.
    [[nodiscard]] std::string joined(const char* before, std::size_t limit = most) const {
        std::string out;
        const std::size_t shown = std::min(limit, m_kept.size());
        for (std::size_t i = 0; i < shown; ++i) out.append(before).append(m_kept[i]);
        if (m_count > shown) out.append(before).append("and ").append(std::to_string(m_count - shown)).append(" more");
        return out;
    }
    /// The texts separated by commas: "a, b, and 3 more".
    [[nodiscard]] std::string in_a_row(std::size_t limit = most) const { return m_count == 0 ? "" : joined(", ", limit).substr(2); }

private:
    std::vector<std::string> m_kept;
    std::size_t m_count = 0;
};

}}} // namespace pali::PALI_ABI::core
