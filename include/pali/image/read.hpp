// Reads images from files and memory. The format is detected from the content, not from the file name.
#pragma once

#include <pali/image/image.hpp>
#include <pali/image/read_options.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Reads an image file. Formats: JPEG, PNG, GIF (first frame), BMP, TGA, PNM (P1 to P6) and, if their libraries were found at build time,
/// WebP (first frame), HEIC, AVIF and TIFF (first page). The format is detected from the content. The pixels equal those of Pillow's
/// `exif_transpose(image).convert("RGB")`: alpha is dropped, not blended; 16-bit color keeps its high byte; 16-bit gray is clipped to 255.
/// The rotation in a HEIC or AVIF container and the orientation tag of a TIFF are always applied, whatever `options` says. Throws
/// `cannot_open`, `unsupported_image` (format or variant not supported by this build), `image_too_large` (exceeds the limits in `options`)
/// or `malformed_image` (damaged or truncated).
[[nodiscard]] image read_image(const std::filesystem::path& path, const read_options& options = {});

/// Decodes an image file held in memory; `name` identifies it in error messages. Throws as read_image does.
[[nodiscard]] image decode_image(std::span<const std::byte> bytes, const read_options& options = {}, std::string_view name = "memory");

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/read.ipp>
#endif
