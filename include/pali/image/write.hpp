// Images to files: PNG for images and masks, JPEG for photographs.
#pragma once

#include <pali/image/image.hpp>
#include <pali/image/mask.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// The image as the bytes of a PNG file. Throws `invalid_argument` when it has no pixels, or not width * height * 3 bytes; `cannot_write`
/// in a build without libpng and stb.
[[nodiscard]] std::vector<std::byte> encode_png(const image& image);

/// Grey bytes, row by row, as the bytes of a PNG file. Throws `invalid_argument` unless there are width * height of them, at least one.
[[nodiscard]] std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);

/// The image as the bytes of a JPEG file, `quality` 1 to 100. Throws `invalid_argument` as encode_png does, and for another quality;
/// `cannot_write` in a build without libjpeg and stb.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const image& image, int quality = 90);

/// Writes what encode_png gives, over a file that may be there. Throws as it does, and `cannot_write`.
void write_png(const std::filesystem::path& path, const image& image);
/// The same of grey bytes.
void write_png(const std::filesystem::path& path, std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);
/// What encode_jpeg gives, in the same way; throws as it does too.
void write_jpeg(const std::filesystem::path& path, const image& image, int quality = 90);
/// A mask as a PNG file of grey values. Throws as above.
inline void write_png(const std::filesystem::path& path, const mask& values) {
    write_png(path, values.width, values.height, values.values);
}

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/image/impl/write.ipp>
#endif
