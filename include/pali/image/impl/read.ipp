// Bodies of read.hpp: which decoder a file is for.
#pragma once

#include <pali/core/require_path.ipp>
#include <pali/image/impl/bmp_tga.ipp>
#include <pali/image/impl/formats.hpp>
#include <pali/image/impl/gif.ipp>
#include <pali/image/impl/orientation.ipp>
#include <pali/image/impl/pnm.ipp>
#include <pali/image/impl/source.ipp>
#if PALI_WITH_JPEG
#  include <pali/image/impl/jpeg.ipp>
#endif
#if PALI_WITH_PNG
#  include <pali/image/impl/png.ipp>
#endif
#if PALI_WITH_WEBP
#  include <pali/image/impl/webp.ipp>
#endif
#if PALI_WITH_STB && !(PALI_WITH_JPEG && PALI_WITH_PNG)
#  include <pali/image/impl/stb_checks.ipp>
#endif

#include <array>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace pali::inline PALI_ABI {

namespace image_detail {

enum class format { jpeg, png, webp, gif, bmp, pnm, tga, unknown };

/// TGA has no mark to know it by: a header that fits in every field is taken for one.
PALI_INLINE bool looks_like_tga(const unsigned char* b, std::size_t size) {
    if (size < 18 || b[1] > 1 || (b[17] & 0xc0) != 0) return false;
    const unsigned kind = b[2] & ~8u, bits = b[16], colour_bits = b[7];
    if (b[1] == 1 ? kind != 1 || bits != 8 || (colour_bits != 15 && colour_bits != 16 && colour_bits != 24 && colour_bits != 32)
                  : kind != 2 && kind != 3)
        return false;
    if ((kind == 2 && bits != 15 && bits != 16 && bits != 24 && bits != 32) || (kind == 3 && bits != 8 && bits != 16)) return false;
    return (b[12] | b[13]) != 0 && (b[14] | b[15]) != 0;
}

PALI_INLINE format format_of(const source& from) {
    const unsigned char* b = from.data();
    const auto begins = [&](std::string_view mark, std::size_t at = 0) {
        return from.size() >= at + mark.size() && std::memcmp(b + at, mark.data(), mark.size()) == 0;
    };
    if (begins("\xff\xd8\xff")) return format::jpeg;
    if (begins("\x89PNG\r\n\x1a\n")) return format::png;
    if (begins("RIFF") && begins("WEBP", 8)) return format::webp;
    if (begins("GIF87a") || begins("GIF89a")) return format::gif;
    if (begins("BM") && from.size() >= 18 && b[15] == 0 && b[16] == 0 && b[17] == 0) return format::bmp;
    if (from.size() >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' && is_pnm_space(b[2])) return format::pnm;
    return looks_like_tga(b, from.size()) ? format::tga : format::unknown;
}

[[noreturn]] PALI_INLINE void unsupported(const source& from, const char* format) {
    constexpr bool stb = PALI_WITH_STB, jpeg = PALI_WITH_JPEG || stb, png = PALI_WITH_PNG || stb, webp = PALI_WITH_WEBP;
    std::string read = jpeg ? "JPEG, " : "";
    if (png) read += "PNG, ";
    if (webp) read += "WebP, ";
    if (stb) read += "BMP, TGA, ";
    refuse(errc::unsupported_image, from,
           {format != nullptr ? error_text{"a ", format, ", which this build of pali was made without"}
            : from.size() == 0 ? "the file is empty"
                               : "not a picture of a known format",
            "; it reads ", read, "GIF and PNM"});
}

PALI_INLINE image decode(const source& from) {
    const bool turned = from.options.exif_orientation;
    switch (format_of(from)) {
    case format::jpeg:
#if PALI_WITH_JPEG
        return upright(decode_jpeg(from), turned ? jpeg_orientation(from) : 1);
#elif PALI_WITH_STB
        check_jpeg_for_stb(from);
        return upright(decode_stb(from, "JPEG"), turned ? jpeg_orientation(from) : 1);
#else
        unsupported(from, "JPEG");
#endif
    case format::png:
#if PALI_WITH_PNG
        return upright(decode_png(from), turned ? png_orientation(from) : 1);
#elif PALI_WITH_STB
        check_png_for_stb(from);
        return upright(decode_stb(from, "PNG"), turned ? png_orientation(from) : 1);
#else
        unsupported(from, "PNG");
#endif
    case format::webp:
#if PALI_WITH_WEBP
        return upright(decode_webp(from), turned ? webp_orientation(from) : 1);
#else
        unsupported(from, "WebP");
#endif
    case format::gif: return decode_gif(from);
    case format::pnm: return decode_pnm(from);
#if PALI_WITH_STB
    case format::bmp: return decode_bmp(from);
    case format::tga: return decode_tga(from);
#else
    case format::bmp: unsupported(from, "BMP");
    case format::tga: unsupported(from, "TGA");
#endif
    case format::unknown: break;
    }
    unsupported(from, nullptr);
}

} // namespace image_detail

PALI_INLINE image decode_image(std::span<const std::byte> bytes, const read_options& options, std::string_view name) {
    return image_detail::decode({bytes, name, options});
}

PALI_INLINE image read_image(const std::filesystem::path& path, const read_options& options) {
    const std::string name = path.string();
    const auto cannot_open = [&](const error_text& why) { return error(errc::cannot_open, {name, ": ", why}); };
    if (std::filesystem::is_directory(detail::require_path(path, "picture"))) throw cannot_open("is a folder, and a picture is needed");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw cannot_open("the picture cannot be read");

    // The first bytes tell whether the rest is worth reading: a checkpoint may be given where a picture was meant.
    constexpr std::size_t head = 64, chunk = std::size_t{1} << 20;
    std::vector<std::byte> bytes(head);
    const auto read = [&](std::size_t at) {
        file.read(reinterpret_cast<char*>(bytes.data() + at), static_cast<std::streamsize>(bytes.size() - at));
        if (file.bad()) throw cannot_open("the picture cannot be read");
        bytes.resize(at + static_cast<std::size_t>(file.gcount()));
    };
    read(0);
    if (const image_detail::source start{bytes, name, options}; image_detail::format_of(start) == image_detail::format::unknown)
        image_detail::unsupported(start, nullptr);
    // No format takes more than 16 bytes a pixel, but all may carry something beside the pixels.
    const std::size_t most = (options.max_pixels < SIZE_MAX / 32 ? options.max_pixels * 16 : SIZE_MAX / 2) + (std::size_t{64} << 20);
    std::error_code failure;
    const std::uintmax_t size = std::filesystem::file_size(path, failure);
    if (!failure && size > most)
        throw error(errc::image_too_large, {name, ": a file of ", size, " bytes is no picture of ", options.max_pixels, " pixels (read_options::max_pixels)"});
    if (!failure && size > bytes.size()) { // at once, where the file tells its size
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

} // namespace pali::inline PALI_ABI
