// What the JSON formats share: numbers and texts that are valid JSON whatever they come from.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/objects/grammar.hpp>
#include <pali/objects/picture_objects.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

namespace pali::inline PALI_ABI::object_detail {

/// A number with so many decimals; 0 for one that is not finite, which JSON cannot write.
[[nodiscard]] inline double rounded(double value, double steps) noexcept {
    const double scaled = std::round(value * steps) / steps;
    return std::isfinite(scaled) ? scaled + 0.0 : 0.0; // + 0.0: no "-0.0"
}
[[nodiscard]] inline double to_hundredths(double value) noexcept { return rounded(value, 100); }
[[nodiscard]] inline double score_value(float score) noexcept { return rounded(static_cast<double>(score), 1e6); }

/// The text with U+FFFD for bytes that are no UTF-8.
[[nodiscard]] inline std::string utf8_of(std::string_view text) {
    std::string out;
    append_utf8(out, text);
    return out;
}

inline void check_mask(const char* what, const picture_objects& picture, const object& one) {
    if (one.mask.empty() || (one.mask.width == picture.width && one.mask.height == picture.height)) return;
    throw error(errc::invalid_argument, {what, ": a mask of ", one.mask.width, " x ", one.mask.height, " pixels for a picture of ", picture.width, " x ",
                                         picture.height});
}

} // namespace pali::inline PALI_ABI::object_detail
