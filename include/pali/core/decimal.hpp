// Decimal form of a float: 0.8f stands for 0.8.
#pragma once

#include <pali/core/macros.hpp>

#include <array>
#include <charconv>
#include <string>
#include <version>

#ifndef __cpp_lib_to_chars
#  include <locale>
#  include <sstream>
#endif

namespace pali { inline namespace PALI_ABI { namespace core {

/// The shortest decimal that rounds to this float: "0.8".
[[nodiscard]] inline std::string in_decimal(float value) {
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end.ptr};
}

/// The shortest decimal as a double, like Python's float: 0.8f gives 0.8. 1 - 0.8 then rounds as in transformers, so ties are decided in
/// the same way.
[[nodiscard]] inline double as_written(float value) {
    const std::string text = in_decimal(value);
    double out = static_cast<double>(value);
#ifdef __cpp_lib_to_chars
    std::from_chars(text.data(), text.data() + text.size(), out);
#else // libc++ 19 cannot parse floating-point numbers by from_chars(). Unlike strtod(), a stream can use the classic locale.
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    stream >> out;
#endif
    return out;
}

}}} // namespace pali::PALI_ABI::core
