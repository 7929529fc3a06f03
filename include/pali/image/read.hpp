// Images from files and memory, told apart by what they contain and not by their name.
#pragma once

#include <pali/image/image.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// How an image is read. The limits are checked against its header, before memory is allocated for its pixels.
struct read_options {
    bool keep_exif_orientation = false; ///< leaves JPEG, PNG and WebP as stored instead of turning them upright as their metadata asks
    std::size_t max_side = 65500;       ///< pixels; the most that a JPEG can have
    std::size_t max_pixels = 178956970; ///< pixels; where Pillow warns of a decompression bomb
    /// Called with one sentence where the image was read but may not look as intended: 16-bit grey that is clipped to white. May be
    /// empty.
    std::function<void(std::string_view)> on_warning = {};
};

/// Reads an image from a file, recognised by its content and not by its name: JPEG, PNG, GIF (first frame), BMP, TGA, PNM (P1 to P6), and,
/// where their libraries were found, WebP (first frame), HEIC, AVIF and TIFF (first page). The pixels are those of Pillow's
/// `exif_transpose(image).convert("RGB")`: alpha is dropped, not blended; 16-bit colour keeps its high byte; 16-bit grey is clipped to
/// 255. HEIC and AVIF are turned by their container and TIFF by its orientation tag, whatever `options` says. Throws `cannot_open`,
/// `unsupported_image` (a format or variant that this build does not read), `image_too_large` (over the limits of `options`), and
/// `malformed_image` (damaged or truncated).
[[nodiscard]] image read_image(const std::filesystem::path& path, const read_options& options = {});

/// An image from the bytes of such a file; `name` stands for it in messages. Throws as read_image does.
[[nodiscard]] image decode_image(std::span<const std::byte> bytes, const read_options& options = {}, std::string_view name = "memory");

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/read.ipp>
#endif
