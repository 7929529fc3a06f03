// Maps labels to numbered categories, as training formats need them.
#pragma once

#include <pali/core/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// The label as a one-line name: valid UTF-8, with a space for each control character; "object" if only spaces are left.
[[nodiscard]] inline std::string category_name(std::string_view label) {
    std::string out;
    bool is_blank = true;
    while (!label.empty()) {
        const std::size_t length = core::first_character(label).length;
        const auto c = static_cast<unsigned char>(label[0]);
        if (length == 0) out += core::replacement_character;
        else if (length == 1) out += c < 0x20 || c == 0x7f ? ' ' : label[0];
        else out += label.substr(0, length);
        is_blank = is_blank && out.back() == ' ';
        label.remove_prefix(length > 0 ? length : 1);
    }
    return is_blank ? "object" : out;
}

/// Category names in order of first appearance. A name never changes its number.
class category_list {
public:
    category_list() = default;
    /// Reads a classes.txt, one name per line. Empty lines are kept so that the numbers do not shift.
    explicit category_list(std::string_view classes) {
        while (!classes.empty()) {
            const std::size_t end = std::min(classes.find('\n'), classes.size());
            std::string_view line = classes.substr(0, end);
            if (line.ends_with('\r')) line.remove_suffix(1);
            m_names.emplace_back(line);
            m_numbers.try_emplace(m_names.back(), m_names.size() - 1);
            classes.remove_prefix(std::min(end + 1, classes.size()));
        }
    }

    /// The number of the label's category, from 0; appends the category if it is new.
    std::size_t number_of(std::string_view label) {
        std::string name = category_name(label);
        const auto [found, is_new] = m_numbers.try_emplace(name, m_names.size());
        if (is_new) m_names.push_back(std::move(name));
        return found->second;
    }

    /// Names, indexed by number.
    [[nodiscard]] const std::vector<std::string>& names() const noexcept { return m_names; }

    /// One name per line: the contents of YOLO's classes.txt.
    [[nodiscard]] std::string text() const {
        std::string out;
        for (const std::string& name : m_names) out += name + '\n';
        return out;
    }

private:
    std::vector<std::string> m_names;
    std::map<std::string, std::size_t, std::less<>> m_numbers;
};

}} // namespace pali::PALI_ABI
