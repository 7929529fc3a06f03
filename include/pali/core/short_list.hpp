// A list of things of one kind for a message: the first ten, then how many more there are.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/macros.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace pali::inline PALI_ABI {

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

    /// `before` and a text, for each that was kept, and how many more there are.
    [[nodiscard]] std::string joined(const char* before) const {
        std::string out;
        for (const std::string& one : m_kept) out.append(before).append(one);
        if (m_count > m_kept.size()) out.append(before).append("and ").append(std::to_string(m_count - m_kept.size())).append(" more");
        return out;
    }
    /// The texts with commas between: "a, b, and 3 more".
    [[nodiscard]] std::string in_a_row() const { return m_count == 0 ? "" : joined(", ").substr(2); }

private:
    std::vector<std::string> m_kept;
    std::size_t m_count = 0;
};

} // namespace pali::inline PALI_ABI
