// Writes images to files: PNG for images and masks, JPEG for photographs.
#pragma once

#include <pali/image/image.hpp>
#include <pali/image/mask.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Encodes an image as PNG. Throws `invalid_argument` if it has no pixels or `pixels` does not hold width * height * 3 bytes;
/// `cannot_write` if the build has neither libpng nor stb.
[[nodiscard]] std::vector<std::byte> encode_png(const image& image);

/// Encodes 8-bit gray pixels, row-major, as PNG. Throws `invalid_argument` unless there are width * height bytes, and at least one.
[[nodiscard]] std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);

/// Encodes an image as JPEG with `quality` 1 to 100. Throws `invalid_argument` as encode_png does and if the quality is out of range;
/// `cannot_write` if the build has neither libjpeg nor stb.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const image& image, int quality = 90);

/// Writes a PNG file, replacing an existing one. Throws as encode_png does, and `cannot_write`.
void write_png(const std::filesystem::path& path, const image& image);
/// Writes 8-bit gray pixels, row-major, as a PNG file.
void write_png(const std::filesystem::path& path, std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);
/// Writes a JPEG file, replacing an existing one. Throws as encode_jpeg does, and `cannot_write`.
void write_jpeg(const std::filesystem::path& path, const image& image, int quality = 90);
/// Writes a mask as a gray PNG file. Throws as the overload for gray pixels does.
inline void write_png(const std::filesystem::path& path, const mask& values) {
    write_png(path, values.width, values.height, values.values);
}

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/write.ipp>
#endif
