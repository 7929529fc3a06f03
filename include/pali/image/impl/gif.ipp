// GIF decoder: the first frame, as Pillow shows it. Transparent pixels get their palette color.
#pragma once

#include <pali/image/impl/source.ipp>

#include <array>
#include <cstring>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

using gif_palette = std::array<std::array<std::uint8_t, 3>, 256>;

PALI_INLINE gif_palette grey_palette() {
    gif_palette made{};
    for (std::size_t i = 0; i < made.size(); ++i) made[i].fill(static_cast<std::uint8_t>(i));
    return made;
}

/// If the palette is a gray ramp, all 256 indices are shades of gray; otherwise indices past the palette are black.
PALI_INLINE gif_palette read_gif_palette(cursor& in, unsigned flags) {
    const std::size_t count = std::size_t{2} << (flags & 7);
    const unsigned char* colours = in.take(count * 3);
    gif_palette made{};
    std::memcpy(made.data(), colours, count * 3);
    const gif_palette grey = grey_palette();
    return std::memcmp(made.data(), grey.data(), count * 3) == 0 ? grey : made;
}

/// Reads LZW codes from the data blocks of a frame. An incomplete block is an error, as in Pillow.
class gif_codes {
public:
    explicit gif_codes(cursor& in) : m_in(in) {}

    /// The next `size` bits, or -1 at the end of the blocks.
    int next(int size) {
        while (m_count < size) {
            if (m_left == 0) {
                m_left = m_in.u8();
                if (m_left == 0) return -1;
                m_block = m_in.take(m_left);
            }
            m_bits |= static_cast<std::uint32_t>(*m_block++) << m_count;
            m_count += 8;
            --m_left;
        }
        const auto code = static_cast<int>(m_bits & ((1u << size) - 1u));
        m_bits >>= size;
        m_count -= size;
        return code;
    }

private:
    cursor& m_in;
    std::uint32_t m_bits = 0;
    int m_count = 0;
    const unsigned char* m_block = nullptr;
    unsigned m_left = 0; // bytes left in the block
};

/// Decodes `count` palette indices; later data is ignored.
PALI_INLINE std::vector<std::uint8_t> read_gif_indices(const source& from, cursor& in, std::size_t count) {
    constexpr int most_codes = 4096;
    const int root = in.u8();
    if (root > 12) damaged(from, "GIF", {"its codes have ", root, " bits; 0 to 12 are valid"});
    const int clear = 1 << root, end = clear + 1;
    std::array<std::uint16_t, most_codes> prefix{};
    std::array<std::uint8_t, most_codes> last{}; // the low byte of root codes above 255, which exceed every palette
    std::array<std::uint8_t, most_codes + 1> reversed{};
    for (int i = 0; i < clear; ++i) last[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);

    gif_codes codes(in);
    std::vector<std::uint8_t> indices;
    indices.reserve(count);
    int size = root + 1, next = clear + 2, before = -1;
    std::uint8_t first = 0; // first index of the string for `before`
    while (indices.size() < count) {
        const int code = codes.next(size);
        if (code < 0 || code == end)
            damaged(from, "GIF", {"the data of its first frame ends after ", indices.size(), " of ", count, " pixels"});
        if (code == clear) {
            size = root + 1;
            next = clear + 2;
            before = -1;
            continue;
        }
        if (code > next || (code == next && next >= most_codes) || (code > end && before < 0))
            damaged(from, "GIF", "it has an undefined code");
        // A code is stored as a chain from its last index back to its first. The code being defined right now is the previous string plus
        // the first index of that string.
        std::size_t length = 0;
        int at = code;
        if (code == next) {
            reversed[length++] = first;
            at = before;
        }
        while (at > end) {
            reversed[length++] = last[static_cast<std::size_t>(at)];
            at = prefix[static_cast<std::size_t>(at)];
        }
        first = last[static_cast<std::size_t>(at)];
        reversed[length++] = first;
        while (length > 0 && indices.size() < count) indices.push_back(reversed[--length]);
        if (before >= 0 && next < most_codes) {
            prefix[static_cast<std::size_t>(next)] = static_cast<std::uint16_t>(before);
            last[static_cast<std::size_t>(next)] = first;
            ++next;
            if (next == 1 << size && size < 12) ++size;
        }
        before = code;
    }
    return indices;
}

/// Image row of stored row `i`. Interlaced order: every 8th row from 0, every 8th from 4, every 4th from 2, every 2nd from 1.
PALI_INLINE std::size_t gif_row(std::size_t i, std::size_t height, bool interlaced) {
    if (!interlaced) return i;
    for (const auto& [start, step] : {std::array<std::size_t, 2>{0, 8}, {4, 8}, {2, 4}, {1, 2}}) {
        const std::size_t rows = start < height ? (height - start + step - 1) / step : 0;
        if (i < rows) return start + i * step;
        i -= rows;
    }
    return 0;
}

PALI_INLINE image decode_gif(const source& from) {
    cursor in(from, "GIF", 6);
    std::size_t width = in.u16(), height = in.u16();
    const unsigned screen_flags = in.u8();
    in.take(2); // background color, pixel aspect ratio: Pillow uses neither here
    gif_palette palette = (screen_flags & 0x80) != 0 ? read_gif_palette(in, screen_flags) : grey_palette();
    std::size_t backdrop = 0; // palette index of the area outside the frame
    for (std::uint8_t tag = in.u8(); tag != ','; tag = in.u8()) {
        if (tag == ';') damaged(from, "GIF", "it has no frame");
        if (tag != '!') continue;
        const bool control = in.u8() == 0xf9;
        bool leading = true;
        for (std::size_t size = in.u8(); size != 0; size = in.u8()) {
            const unsigned char* block = in.take(size);
            if (control && leading && size >= 4 && (block[0] & 1) != 0) backdrop = block[3];
            leading = false;
        }
    }
    const std::size_t left = in.u16(), top = in.u16(), frame_width = in.u16(), frame_height = in.u16();
    const unsigned flags = in.u8();
    if ((flags & 0x80) != 0) palette = read_gif_palette(in, flags);
    width = std::max(width, left + frame_width);
    height = std::max(height, top + frame_height);
    check_size(from, width, height);

    image made(width, height);
    const std::vector<std::uint8_t> indices = read_gif_indices(from, in, frame_width * frame_height);
    if (indices.size() != width * height)
        for (std::size_t i = 0; i < width * height; ++i) std::memcpy(made.pixels.data() + 3 * i, palette[backdrop].data(), 3);
    for (std::size_t i = 0; i < frame_height; ++i) {
        std::uint8_t* out = made.at(left, top + gif_row(i, frame_height, (flags & 0x40) != 0));
        for (std::size_t x = 0; x < frame_width; ++x, out += 3) std::memcpy(out, palette[indices[i * frame_width + x]].data(), 3);
    }
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
