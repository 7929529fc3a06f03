// Shared helpers of the JSON formats: numbers and strings that are valid JSON whatever the input.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>
#include <pali/objects/grammar.hpp>
#include <pali/objects/image_objects.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Rounds to a multiple of 1 / steps; 0 for values that are not finite, which JSON cannot represent.
[[nodiscard]] inline double rounded(double value, double steps) noexcept {
    const double scaled = std::round(value * steps) / steps;
    return std::isfinite(scaled) ? scaled + 0.0 : 0.0; // + 0.0: avoids "-0.0"
}
[[nodiscard]] inline double to_hundredths(double value) noexcept { return rounded(value, 100); }
[[nodiscard]] inline double score_value(float score) noexcept { return rounded(static_cast<double>(score), 1e6); }

/// Replaces invalid UTF-8 by U+FFFD.
[[nodiscard]] inline std::string utf8_of(std::string_view text) {
    std::string out;
    append_utf8(out, text);
    return out;
}

/// The bytes in hexadecimal, two digits each.
[[nodiscard]] inline std::string hexadecimal(std::string_view bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) (out += digits[static_cast<unsigned char>(c) >> 4]) += digits[static_cast<unsigned char>(c) & 15];
    return out;
}

/// Inverse of hexadecimal(); empty if the text is invalid.
[[nodiscard]] inline std::string from_hexadecimal(std::string_view text) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    std::string out;
    if (text.size() % 2 != 0) return out;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return {};
        out += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    }
    return out;
}

/// Adds a file name as `key`. A name that is not valid UTF-8 is written with U+FFFD, and its bytes in hexadecimal as `key`_bytes, so that
/// names that differ only in such bytes stay distinct.
inline void add_name(nlohmann::ordered_json& to, const std::string& key, std::string_view name) {
    to[key] = utf8_of(name);
    if (!is_utf8(name)) to[key + "_bytes"] = hexadecimal(name);
}

/// The name written by add_name(), byte for byte; empty if there is none.
[[nodiscard]] inline std::string name_of(const nlohmann::ordered_json& from, const std::string& key) {
    const auto text = [&](const std::string& member) {
        const auto found = from.is_object() ? from.find(member) : from.end();
        return found != from.end() && found->is_string() ? found->template get<std::string>() : std::string();
    };
    const std::string bytes = from_hexadecimal(text(key + "_bytes"));
    return bytes.empty() ? text(key) : bytes;
}

inline void check_mask(const char* what, const image_objects& image, const object& one) {
    if (one.mask.empty() || (one.mask.width == image.width && one.mask.height == image.height)) return;
    throw error(errc::invalid_argument, {what, ": a mask of ", one.mask.width, " x ", one.mask.height, " pixels for an image of ",
                                         image.width, " x ", image.height});
}

}}} // namespace pali::PALI_ABI::objects
