// Detects the format of a file from its first bytes. Formats that no build reads are recognized so that error messages can name them.
#pragma once

#include <pali/core/lfs_pointer.hpp>
#include <pali/image/impl/formats.hpp>
#include <pali/image/impl/pnm.ipp>
#include <pali/image/impl/source.ipp>
#include <pali/image/impl/tga.ipp>

#include <algorithm>
#include <cstring>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

enum class format { jpeg, png, webp, gif, bmp, pnm, tga, tiff, heic, avif, unknown };

/// HEIC and AVIF share a container that begins with a box of brands: size, "ftyp", major brand, version, compatible brands.
PALI_INLINE format heif_format(const source& from) {
    const unsigned char* b = from.data();
    if (from.size() < 12 || std::memcmp(b + 4, "ftyp", 4) != 0) return format::unknown;
    const std::size_t box = static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1] << 16 | b[2] << 8 | b[3]);
    format found = format::unknown;
    for (std::size_t at = 8; at + 4 <= std::min(box, from.size()); at += at == 8 ? 8 : 4) {
        const std::string_view brand(reinterpret_cast<const char*>(b + at), 4);
        if (brand == "avif" || brand == "avis") return format::avif;
        for (const std::string_view heic : {"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"})
            if (brand == heic) found = format::heic;
    }
    return found;
}

PALI_INLINE bool begins_with(const source& from, std::string_view mark, std::size_t at = 0) {
    return from.size() >= at + mark.size() && std::memcmp(from.data() + at, mark.data(), mark.size()) == 0;
}

PALI_INLINE format format_of(const source& from) {
    using namespace std::string_view_literals;
    const unsigned char* b = from.data();
    if (begins_with(from, "\xff\xd8\xff")) return format::jpeg;
    if (begins_with(from, "\x89PNG\r\n\x1a\n")) return format::png;
    if (begins_with(from, "RIFF") && begins_with(from, "WEBP", 8)) return format::webp;
    if (begins_with(from, "GIF87a") || begins_with(from, "GIF89a")) return format::gif;
    if (begins_with(from, "BM") && from.size() >= 18 && b[15] == 0 && b[16] == 0 && b[17] == 0) return format::bmp;
    if (from.size() >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' && is_pnm_space(b[2])) return format::pnm;
    for (const std::string_view mark : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) // the last two are BigTIFF
        if (begins_with(from, mark)) return format::tiff;
    if (const format heif = heif_format(from); heif != format::unknown) return heif;
    tga_header h;
    return read_tga_header(from.bytes, h) ? format::tga : format::unknown;
}

/// Name of a format that no build reads; null if it is unknown.
PALI_INLINE const char* unread_format(const source& from) {
    using namespace std::string_view_literals;
    struct known {
        std::string_view mark;
        const char* name;
    };
    for (const known& k : {known{"\xff\x0a"sv, "JPEG XL"}, known{"\0\0\0\x0cJXL "sv, "JPEG XL"}, known{"\0\0\0\x0cjP  "sv, "JPEG 2000"},
                           known{"\xff\x4f\xff\x51"sv, "JPEG 2000"}, known{"8BPS"sv, "a Photoshop document"}, known{"%PDF-"sv, "PDF"},
                           known{"\0\0\1\0"sv, "ICO"}, known{"\x76\x2f\x31\x01"sv, "OpenEXR"}, known{"<svg"sv, "SVG"},
                           known{"<?xml"sv, "XML, such as SVG"}, known{"<!DOCTYPE"sv, "an HTML page"}, known{"<html"sv, "an HTML page"}})
        if (begins_with(from, k.mark)) return k.name;
    return nullptr;
}

/// Formats that this build reads, for messages: "JPEG, PNG, GIF, BMP, TGA and PNM".
PALI_INLINE std::string formats_read() {
    constexpr bool jpeg = PALI_WITH_JPEG || PALI_WITH_STB, png = PALI_WITH_PNG || PALI_WITH_STB;
    std::string list = jpeg ? "JPEG, " : "";
    if (png) list += "PNG, ";
    if (PALI_WITH_WEBP) list += "WebP, ";
    if (PALI_WITH_HEIF) list += "HEIC, AVIF, ";
    if (PALI_WITH_TIFF) list += "TIFF, ";
    return list + "GIF, BMP, TGA and PNM";
}

/// Throws for a format whose library this build lacks.
[[noreturn]] PALI_INLINE void unsupported(const source& from, const char* format, const char* library) {
    refuse(errc::unsupported_image, from,
           {"the file is ", format, ", but this build of pali was made without ", library, ". It reads ", formats_read(),
            "; convert the file to one of these formats"});
}

[[noreturn]] PALI_INLINE void unknown_format(const source& from) {
    if (is_lfs_pointer({reinterpret_cast<const char*>(from.data()), from.size()}))
        throw error(errc::unsupported_image, {from.name, lfs_pointer_words});
    const char* const name = unread_format(from);
    refuse(errc::unsupported_image, from,
           {from.size() == 0  ? "the file is empty"
            : name == nullptr ? "the file is not an image in a known format"
                              : "the file is ",
            name == nullptr ? "" : name, name == nullptr ? "" : ", which is not supported", "; pali reads ", formats_read()});
}

}}} // namespace pali::PALI_ABI::image_detail
