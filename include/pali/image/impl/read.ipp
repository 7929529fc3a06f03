// Implementation of read.hpp: dispatches a file to the decoder of its format.
#pragma once

#include <pali/core/require_path.ipp>
#include <pali/image/impl/bmp.ipp>
#include <pali/image/impl/format.ipp>
#include <pali/image/impl/formats.hpp>
#include <pali/image/impl/gif.ipp>
#include <pali/image/impl/orientation.ipp>
#include <pali/image/impl/pnm.ipp>
#include <pali/image/impl/source.ipp>
#include <pali/image/impl/tga.ipp>
#if PALI_WITH_JPEG
#  include <pali/image/impl/jpeg.ipp>
#endif
#if PALI_WITH_PNG
#  include <pali/image/impl/png.ipp>
#endif
#if PALI_WITH_WEBP
#  include <pali/image/impl/webp.ipp>
#endif
#if PALI_WITH_HEIF
#  include <pali/image/impl/heif.ipp>
#endif
#if PALI_WITH_TIFF
#  include <pali/image/impl/tiff.ipp>
#endif
#if PALI_WITH_STB && !(PALI_WITH_JPEG && PALI_WITH_PNG)
#  include <pali/image/impl/stb.ipp>
#  include <pali/image/impl/stb_checks.ipp>
#endif

#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI {

namespace image_detail {

PALI_INLINE image decode(const source& from) {
    [[maybe_unused]] const auto turned = [&from](image image, int (&orientation_in)(const source&)) {
        return from.options.keep_exif_orientation ? image : upright(std::move(image), orientation_in(from));
    };
    switch (format_of(from)) {
    case format::jpeg:
        check_jpeg_process(from);
#if PALI_WITH_JPEG
        return turned(decode_jpeg(from), jpeg_orientation);
#elif PALI_WITH_STB
        check_jpeg_for_stb(from);
        return turned(decode_stb(from, "JPEG"), jpeg_orientation);
#else
        unsupported(from, "JPEG", "libjpeg");
#endif
    case format::png:
#if PALI_WITH_PNG
        return turned(decode_png(from), png_orientation);
#elif PALI_WITH_STB
    {
        const std::vector<std::byte> bytes = prepare_png_for_stb(from);
        return turned(decode_stb({bytes, from.name, from.options}, "PNG"), png_orientation);
    }
#else
        unsupported(from, "PNG", "libpng");
#endif
    case format::webp:
#if PALI_WITH_WEBP
        return turned(decode_webp(from), webp_orientation);
#else
        unsupported(from, "WebP", "libwebp");
#endif
    case format::heic:
#if PALI_WITH_HEIF
        return decode_heif(from, false);
#else
        unsupported(from, "HEIC", "libheif");
#endif
    case format::avif:
#if PALI_WITH_HEIF
        return decode_heif(from, true);
#else
        unsupported(from, "AVIF", "libheif");
#endif
    case format::tiff:
#if PALI_WITH_TIFF
        return decode_tiff(from);
#else
        unsupported(from, "TIFF", "libtiff");
#endif
    case format::gif:
        return decode_gif(from);
    case format::pnm:
        return decode_pnm(from);
    case format::bmp:
        return decode_bmp(from);
    case format::tga:
        return decode_tga(from);
    case format::unknown:
        break;
    }
    unknown_format(from);
}

} // namespace image_detail

PALI_INLINE image decode_image(std::span<const std::byte> bytes, const read_options& options, std::string_view name) {
    return image_detail::decode({bytes, name, options});
}

PALI_INLINE image read_image(const std::filesystem::path& path, const read_options& options) {
    const std::string name = path.string();
    const auto cannot_open = [&](core::error_text&& why) { return error(errc::cannot_open, {name, ": ", std::move(why).str()}); };
    if (std::filesystem::is_directory(core::require_path(path, "image"))) throw cannot_open("is a folder; an image file is needed");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw cannot_open("the image cannot be read");

    // Checks the format in the first bytes before it reads the rest, because the path may name a checkpoint by mistake.
    constexpr std::size_t head = 64, chunk = std::size_t{1} << 20;
    std::vector<std::byte> bytes(head);
    const auto read = [&](std::size_t at) {
        file.read(reinterpret_cast<char*>(bytes.data() + at), static_cast<std::streamsize>(bytes.size() - at));
        if (file.bad()) throw cannot_open("the image cannot be read");
        bytes.resize(at + static_cast<std::size_t>(file.gcount()));
    };
    read(0);
    if (const image_detail::source start{bytes, name, options}; image_detail::format_of(start) == image_detail::format::unknown)
        image_detail::unknown_format(start);
    // No format needs more than 16 bytes per pixel, plus metadata and further frames.
    const std::size_t most = (options.max_pixels < SIZE_MAX / 32 ? options.max_pixels * 16 : SIZE_MAX / 2) + (std::size_t{64} << 20);
    std::error_code failure;
    const std::uintmax_t size = std::filesystem::file_size(path, failure);
    if (!failure && size > most)
        throw error(errc::image_too_large, {name, ": the file has ", size, " bytes, too many for an image of at most ", options.max_pixels,
                                            " pixels: raise max_pixels if you trust the file"});
    if (!failure && size > bytes.size()) { // the size is known: one read for the rest
        const std::size_t at = bytes.size();
        bytes.resize(static_cast<std::size_t>(size));
        read(at);
    }
    while (file && bytes.size() <= most) {
        const std::size_t at = bytes.size();
        bytes.resize(at + chunk);
        read(at);
    }
    return decode_image(bytes, options, name);
}

}} // namespace pali::PALI_ABI
