// Locates EXIF and XMP metadata in JPEG, PNG and WebP files.
#pragma once

#include <pali/image/impl/exif.ipp>
#include <pali/image/impl/jpeg_segments.ipp>

#include <algorithm>
#include <string>
#include <vector>

#include <zlib.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

PALI_INLINE int jpeg_orientation(const source& from) {
    constexpr std::string_view exif("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
    image_metadata found;
    jpeg_segments segments(from);
    for (jpeg_segment s; segments.next(s);) {
        if (s.marker != 0xe1) continue;
        const std::string_view text(reinterpret_cast<const char*>(s.data), s.size);
        const auto* bytes = reinterpret_cast<const std::byte*>(s.data);
        if (text.starts_with(exif))
            found.exif.insert(found.exif.end(), bytes + (found.exif.empty() ? 0 : exif.size()),
                              bytes + s.size); // EXIF may span several segments
        if (text.starts_with(xmp)) found.xmp = text.substr(xmp.size());
    }
    return orientation_of(found);
}

PALI_INLINE int webp_orientation(const source& from) {
    image_metadata found;
    cursor in(from, "WebP", 12);
    while (in.left() >= 8) {
        const unsigned char* kind = in.take(4);
        const std::size_t length = in.u32();
        if (length > in.left()) break;
        const auto* data = reinterpret_cast<const std::byte*>(in.take(length));
        if (std::memcmp(kind, "EXIF", 4) == 0) found.exif.assign(data, data + length);
        if (std::memcmp(kind, "XMP ", 4) == 0) found.xmp = {reinterpret_cast<const char*>(data), length};
        if (length % 2 == 1 && !in.at_end()) in.take(1);
    }
    return orientation_of(found);
}

/// Decompresses zlib data; empty if the data is invalid or the text exceeds 1 MiB, as in Pillow.
PALI_INLINE std::string inflate_png_text(std::string_view packed) {
    constexpr std::size_t most = std::size_t{1} << 20;
    std::string text(most, '\0');
    z_stream stream{};
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = static_cast<uInt>(most);
    if (inflateInit(&stream) != Z_OK) return {};
    const int result = inflate(&stream, Z_FINISH);
    text.resize(most - stream.avail_out);
    inflateEnd(&stream);
    return result == Z_STREAM_END ? text : std::string();
}

/// Text of a tEXt, zTXt or iTXt chunk; `body` starts after the keyword.
PALI_INLINE std::string png_text(std::string_view kind, std::string_view body) {
    if (kind == "tEXt") return std::string(body);
    if (kind == "zTXt") return body.starts_with('\0') ? inflate_png_text(body.substr(1)) : std::string();
    if (body.size() < 2) return {};
    const bool packed = body[0] == 1;
    body.remove_prefix(2);
    for (int i = 0; i < 2; ++i) { // language, translated keyword
        const std::size_t end = body.find('\0');
        if (end == body.npos) return {};
        body.remove_prefix(end + 1);
    }
    return packed ? inflate_png_text(body) : std::string(body);
}

/// Decodes ImageMagick's "Raw profile type exif": hexadecimal digits after three line breaks that enclose a name and a length.
PALI_INLINE std::vector<std::byte> raw_profile(std::string_view text) {
    std::size_t at = 0;
    for (int i = 0; i < 3; ++i) {
        at = text.find('\n', at);
        if (at == text.npos) return {};
        ++at;
    }
    std::vector<std::byte> made;
    int high = -1;
    for (const char c : text.substr(at)) {
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) continue;
        if (high >= 0) made.push_back(static_cast<std::byte>(high << 4 | digit));
        high = high >= 0 ? -1 : digit;
    }
    return made;
}

PALI_INLINE int png_orientation(const source& from) {
    image_metadata found;
    struct text_chunk {
        std::string_view kind, body;
    };
    text_chunk profile, xmp; // the last of each; decompressed once, below
    const unsigned char* data = from.data();
    for (std::size_t at = 8; from.size() - at >= 12;) {
        const std::size_t length =
            static_cast<std::size_t>(data[at]) << 24 | static_cast<std::size_t>(data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]);
        if (length > from.size() - at - 12) break;
        const std::string_view kind(reinterpret_cast<const char*>(data + at + 4), 4),
            body(reinterpret_cast<const char*>(data + at + 8), length);
        if (kind == "IEND") break;
        if (kind == "eXIf") {
            const auto exif = from.bytes.subspan(at + 8, length);
            found.exif.assign(exif.begin(), exif.end());
        } else if (kind == "tEXt" || kind == "zTXt" || kind == "iTXt") {
            const std::string_view keyword = body.substr(0, body.find('\0'));
            const std::string_view rest = body.substr(std::min(body.size(), keyword.size() + 1));
            if (keyword == "Raw profile type exif") profile = {kind, rest};
            if (keyword == "XML:com.adobe.xmp") xmp = {kind, rest};
        }
        at += length + 12;
    }
    if (found.exif.empty() && !profile.kind.empty()) found.exif = raw_profile(png_text(profile.kind, profile.body));
    if (!xmp.kind.empty()) found.unpacked = png_text(xmp.kind, xmp.body);
    return orientation_of(found);
}

}}} // namespace pali::PALI_ABI::image_detail
