// Pictures from files and memory, told apart by what they contain and not by their name.
#pragma once

#include <pali/image/image.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace pali::inline PALI_ABI {

/// How a picture is read. The limits are checked against its header, before memory is taken for its pixels.
struct read_options {
    bool exif_orientation = false;      ///< turn the picture as its EXIF data says; off because the reference ignores it
    std::size_t max_side = 65500;       ///< pixels; the most a JPEG can have
    std::size_t max_pixels = 178956970; ///< where Pillow, too, takes a picture for a decompression bomb
};

/// A picture from a file: JPEG, PNG, WebP, GIF (first frame), BMP, TGA or PNM (P1 to P6), whatever its name.
/// The pixels are those of Pillow's `convert("RGB")`: alpha is dropped and not blended, 16-bit colour keeps its high byte, 16-bit grey is clipped.
/// Throws `cannot_open`, `unsupported_image` (a format that this build does not read), `image_too_large` (over the limits of `options`),
/// and `malformed_image` (damaged or cut short).
[[nodiscard]] image read_image(const std::filesystem::path& path, const read_options& options = {});

/// A picture from the bytes of such a file; `name` stands for it in messages. Throws as read_image does.
[[nodiscard]] image decode_image(std::span<const std::byte> bytes, const read_options& options = {}, std::string_view name = "memory");

} // namespace pali::inline PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/read.ipp>
#endif
