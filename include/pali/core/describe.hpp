// Formatting of data from files in messages: names with arbitrary bytes, and shapes.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Formats a name as 'name'. Control characters are written in hexadecimal, so that a file cannot control the terminal; the middle of a
/// very long name is left out.
[[nodiscard]] inline std::string in_quotes(std::string_view name) {
    constexpr std::size_t longest = 200, kept = 90;
    constexpr char digits[] = "0123456789abcdef";
    std::string out = "'";
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name.size() > longest && i == kept) {
            out += "[...]";
            i = name.size() - kept;
        }
        const auto c = static_cast<unsigned char>(name[i]);
        if (c < 0x20 || c == 0x7f) out += std::string("\\x") + digits[c >> 4] + digits[c & 15];
        else out += name[i];
    }
    return out + "'";
}

/// Formats a shape: "(256, 1152)".
[[nodiscard]] inline std::string describe_shape(std::span<const std::size_t> shape) {
    std::string out = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return out + ")";
}

}}} // namespace pali::PALI_ABI::core
