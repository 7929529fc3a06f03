// Converts generated coordinates to image pixels.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/macros.hpp>
#include <pali/image/box.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Throws errc::invalid_argument, with the name `what`, unless the divisor of `<loc>` tokens is 1024 or 1023.
inline void check_divisor(const char* what, int loc_divisor) {
    if (loc_divisor == 1024 || loc_divisor == 1023) return;
    throw error(errc::invalid_argument,
                {what, ": loc_divisor ", loc_divisor, " is not supported; use 1024 (Google's guide, supervision) or 1023 (big_vision)"});
}

/// Box in pixels for generated coordinates y0, x0, y1, x1 (0 to 1023) in an image of width x height pixels: coordinate / `loc_divisor` *
/// side. Google's prompt guide, the Hugging Face Space and supervision divide by 1024; big_vision trains and evaluates with 1023, so that
/// coordinate 1023 is the far edge of the image. Throws `invalid_argument` for any other divisor.
[[nodiscard]] inline box box_of(const std::array<std::uint16_t, 4>& loc, std::size_t width, std::size_t height, int loc_divisor = 1024) {
    check_divisor("box_of", loc_divisor);
    const auto pixels = [&](std::uint16_t at, std::size_t side) {
        return static_cast<float>(static_cast<double>(at) * static_cast<double>(side) / loc_divisor);
    };
    return {.x0 = pixels(loc[1], width), .y0 = pixels(loc[0], height), .x1 = pixels(loc[3], width), .y1 = pixels(loc[2], height)};
}

}}} // namespace pali::PALI_ABI::objects
