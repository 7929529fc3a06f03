// Walks the marker segments of a JPEG up to its first scan: frame header, EXIF, XMP, Huffman tables.
#pragma once

#include <pali/image/impl/source.ipp>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// One marker segment.
struct jpeg_segment {
    unsigned marker = 0;                 ///< the byte after 0xff
    const unsigned char* data = nullptr; ///< payload, after the length field
    std::size_t size = 0;                ///< payload size in bytes
};

/// Iterates over the segments from the start of the file. Stops before the first scan, at the end marker, and where the structure is
/// invalid or incomplete.
class jpeg_segments {
public:
    explicit jpeg_segments(const source& from) : m_from(from) {}

    bool next(jpeg_segment& segment) {
        const unsigned char* data = m_from.data();
        while (m_from.size() - m_at >= 4 && data[m_at] == 0xff && data[m_at + 1] == 0xff) ++m_at; // fill bytes
        if (m_from.size() - m_at < 4 || data[m_at] != 0xff || data[m_at + 1] == 0xda || data[m_at + 1] == 0xd9) return false;
        const std::size_t length = static_cast<std::size_t>(data[m_at + 2] << 8 | data[m_at + 3]);
        if (length < 2 || length > m_from.size() - m_at - 2) return false;
        segment = {data[m_at + 1], data + m_at + 4, length - 2};
        m_at += 2 + length;
        return true;
    }

private:
    const source& m_from;
    std::size_t m_at = 2;
};

/// Throws `unsupported_image` for a coding process or precision that no decoder here supports; the decoder would report it as damage.
PALI_INLINE void check_jpeg_process(const source& from) {
    jpeg_segments segments(from);
    for (jpeg_segment s; segments.next(s);) {
        if (s.marker == 0xf7) refuse(errc::unsupported_image, from, "JPEG-LS is not supported; convert it to PNG");
        if (s.marker < 0xc0 || s.marker > 0xcf || s.marker == 0xc4 || s.marker == 0xc8 || s.marker == 0xcc) continue; // not a frame header
        if ((s.marker & 3) == 3) refuse(errc::unsupported_image, from, "lossless JPEG is not supported; convert it to PNG");
        if ((s.marker & 4) != 0) refuse(errc::unsupported_image, from, "hierarchical JPEG is not supported; convert it to PNG");
        if (s.size > 0 && s.data[0] != 8)
            refuse(errc::unsupported_image, from, {"JPEG of ", unsigned{s.data[0]}, " bits per channel is not supported; 8 bits are"});
        return;
    }
}

}}} // namespace pali::PALI_ABI::image_detail
