// Font access: glyph lookup, metrics and rasterization.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/macros.hpp>
#include <pali/image/impl/font_data.ipp>
#include <pali/image/impl/letters.hpp>
#include <pali/image/impl/stb_truetype.ipp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if PALI_WITH_STB_TRUETYPE

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Coverage bitmap of a glyph.
struct glyph_image {
    int left = 0, top = 0; ///< bitmap origin relative to the pen on the baseline; y points down
    int width = 0, height = 0;
    std::vector<std::uint8_t> cover; ///< height * width; 255: fully covered
};

class typeface {
public:
    /// Loads a TrueType or OpenType file, or the first font of a collection. `name` identifies it in error messages.
    typeface(std::vector<unsigned char> bytes, std::string name)
        : m_name(std::move(name)), m_size(bytes.size()), m_bytes(std::move(bytes)) {
        m_bytes.resize(m_size + past_the_end);
        if (m_size < 16) fail("it is truncated");
        const bool collection = std::string_view(reinterpret_cast<const char*>(m_bytes.data()), 4) == "ttcf";
        const std::size_t start = collection ? u32(12) : 0;
        check_tables(start);
        bool known = false;
        try {
            known = stb_truetype::stbtt_InitFont(&m_font, m_bytes.data(), static_cast<int>(start)) != 0;
        } catch (const broken_font&) {
            fail("it is inconsistent");
        }
        if (!known) fail("it has no outlines, or no Unicode character map");
        m_font.userdata = nullptr;
        const std::size_t hhea = static_cast<std::size_t>(m_font.hhea), wide = u16(hhea + 34);
        if (wide == 0 || hhea_length() < 36 || m_lengths.hmtx < wide * 4) fail("its table of glyph widths is incomplete");
        if (m_font.cff.size == 0) check_glyphs();
        check_map();
        const float scale = stb_truetype::stbtt_ScaleForMappingEmToPixels(&m_font, 1);
        m_em = scale > 0 && scale <= 1 ? scale : 1.f / 1000;
        int ascent = 0, descent = 0;
        stb_truetype::stbtt_GetFontVMetrics(&m_font, &ascent, &descent, nullptr);
        m_ascent = std::clamp(static_cast<float>(ascent) * m_em, 0.5f, 2.f);
        m_descent = std::clamp(static_cast<float>(-descent) * m_em, 0.f, 1.f);
    }
    typeface(const typeface&) = delete;
    typeface& operator=(const typeface&) = delete;

    [[nodiscard]] float ascent() const noexcept { return m_ascent; }   ///< ems above the baseline
    [[nodiscard]] float descent() const noexcept { return m_descent; } ///< ems below the baseline

    /// Glyph index of a code point; 0 (the missing-glyph box) if there is none.
    [[nodiscard]] int find(char32_t letter) const {
        try {
            const int glyph = stb_truetype::stbtt_FindGlyphIndex(&m_font, static_cast<int>(letter));
            return glyph < m_font.numGlyphs ? std::max(glyph, 0) : 0;
        } catch (const broken_font&) {
            return 0;
        }
    }

    /// Advance width in pixels at `em` pixels per em.
    [[nodiscard]] float advance(int glyph, float em) const {
        int units = 0;
        stb_truetype::stbtt_GetGlyphHMetrics(&m_font, glyph, &units, nullptr);
        return std::clamp(static_cast<float>(units) * m_em, 0.f, 4.f) * em;
    }

    /// Renders a glyph with the pen shifted right by the fraction `shift` of a pixel; empty if it has no ink or is inconsistent.
    [[nodiscard]] glyph_image render(int glyph, float em, float shift) const {
        glyph_image made;
        letter_memory memory;
        stb_truetype::stbtt_fontinfo font = m_font;
        font.userdata = &memory;
        try {
            std::size_t parts = 0;
            if (m_font.cff.size == 0) check_parts(glyph, 0, parts);
            const float scale = m_em * em;
            int right = 0, bottom = 0;
            stb_truetype::stbtt_GetGlyphBitmapBoxSubpixel(&font, glyph, scale, scale, shift, 0, &made.left, &made.top, &right, &bottom);
            const int most = static_cast<int>(em * 8) + 16;
            if (right <= made.left || bottom <= made.top || right > most || bottom > most || made.left < -most || made.top < -most)
                return {};
            made.width = right - made.left;
            made.height = bottom - made.top;
            made.cover.resize(static_cast<std::size_t>(made.width) * static_cast<std::size_t>(made.height));
            stb_truetype::stbtt_MakeGlyphBitmapSubpixel(&font, made.cover.data(), made.width, made.height, made.width, scale, scale, shift,
                                                        0, glyph);
        } catch (const broken_font&) {
            return {};
        }
        return made;
    }

private:
    // The number of bytes past the end of the file that stb_truetype may read for a glyph that starts inside the file: 2^16 points of at
    // most 5 bytes, 2^15 contours of 2 bytes, and 2^16 bytes of instructions.
    static constexpr std::size_t past_the_end = std::size_t{1} << 19;

    [[noreturn]] void fail(const char* why) const {
        throw error(errc::malformed_file, {m_name, ": cannot be read as a TrueType or OpenType font: ", why});
    }
    [[nodiscard]] std::size_t u16(std::size_t at) const {
        if (at + 2 > m_bytes.size()) fail("it is truncated");
        return static_cast<std::size_t>(m_bytes[at]) << 8 | m_bytes[at + 1];
    }
    [[nodiscard]] std::size_t u32(std::size_t at) const { return u16(at) << 16 | u16(at + 2); }
    [[nodiscard]] std::size_t hhea_length() const noexcept { return m_lengths.hhea; }

    /// Checks that every table lies inside the file and that fixed-length tables are long enough.
    void check_tables(std::size_t start) {
        const std::size_t count = u16(start + 4);
        if (m_size > std::size_t{1} << 30 || start > m_size || count * 16 + 12 > m_size - start) fail("its list of tables is incomplete");
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = start + 12 + i * 16, offset = u32(row + 8), length = u32(row + 12);
            if (offset > m_size || length > m_size - offset) fail("a table extends past the end of the file");
            const std::string_view tag(reinterpret_cast<const char*>(m_bytes.data() + row), 4);
            if ((tag == "head" && length < 54) || (tag == "hhea" && length < 36) || (tag == "maxp" && length < 6) ||
                (tag == "cmap" && length < 4))
                fail("a table is too short");
            if (tag == "hhea") m_lengths.hhea = length;
            if (tag == "hmtx") m_lengths.hmtx = length;
            if (tag == "loca") m_lengths.loca = length;
            if (tag == "glyf") m_lengths.glyf = length;
        }
    }

    /// Checks that every glyph starts inside its table.
    void check_glyphs() const {
        const bool wide = m_font.indexToLocFormat != 0;
        const std::size_t count = static_cast<std::size_t>(m_font.numGlyphs) + 1, loca = static_cast<std::size_t>(m_font.loca);
        if (m_font.indexToLocFormat > 1 || m_lengths.loca < count * (wide ? 4 : 2)) fail("its glyph index is incomplete");
        for (std::size_t i = 0; i < count; ++i)
            if ((wide ? u32(loca + i * 4) : u16(loca + i * 2) * 2) > m_lengths.glyf) fail("an outline begins past the end of its table");
    }

    /// Checks that the selected character map ends inside the file.
    void check_map() const {
        const std::size_t map = static_cast<std::size_t>(static_cast<unsigned>(m_font.index_map));
        if (map + 16 > m_size) fail("its character map is incomplete");
        const std::size_t format = u16(map), left = m_size - map;
        const std::size_t need = format == 4    ? 16 + u16(map + 6) * 4
                                 : format == 6  ? 10 + u16(map + 8) * 2
                                 : format == 12 ? 16 + u32(map + 12) * 12
                                                : 0;
        if (need > left || (format != 0 && format != 4 && format != 6 && format != 12))
            fail("its character map is incomplete or has an unsupported format");
        if (format == 4 && (u16(map + 8) > u16(map + 6) || u16(map + 10) > 16)) fail("its character map is inconsistent");
    }

    /// Limits the nesting of components to 6 and their number to 64, because a composite glyph could contain itself.
    void check_parts(int glyph, int depth, std::size_t& parts) const {
        const int offset = stb_truetype::stbtt__GetGlyfOffset(&m_font, glyph);
        if (offset < 0) return;
        std::size_t at = static_cast<std::size_t>(offset);
        if (u16(at) < 0x8000) return; // simple glyph
        at += 10;
        for (std::size_t flags = 0x20; (flags & 0x20) != 0;) { // more components
            flags = u16(at);
            if (depth == 6 || ++parts > 64) throw_broken_font();
            check_parts(static_cast<int>(u16(at + 2)), depth + 1, parts);
            at += 4 + ((flags & 0x01) != 0 ? 4u : 2u) +
                  ((flags & 0x08) != 0   ? 2u
                   : (flags & 0x40) != 0 ? 4u
                   : (flags & 0x80) != 0 ? 8u
                                         : 0u);
        }
    }

    std::string m_name;
    std::size_t m_size; ///< without the padding after it
    std::vector<unsigned char> m_bytes;
    struct {
        std::size_t hhea = 0, hmtx = 0, loca = 0, glyf = 0;
    } m_lengths;
    stb_truetype::stbtt_fontinfo m_font{};
    float m_em = 0; ///< ems per font unit
    float m_ascent = 0, m_descent = 0;
};

/// Decodes the font embedded in the library.
[[nodiscard]] PALI_INLINE std::vector<unsigned char> built_in_font() {
    const auto digit = [](char c) {
        return static_cast<unsigned>(c >= 'a' ? c - 'a' + 26 : c == '_' ? 63 : c >= 'A' ? c - 'A' : c == '-' ? 62 : c - '0' + 52);
    };
    std::vector<unsigned char> made;
    made.reserve(sizeof font_base64 * 3 / 4);
    unsigned bits = 0, count = 0;
    for (const char* c = font_base64; *c != '\0'; ++c) {
        bits = bits << 6 | digit(*c);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        made.push_back(static_cast<unsigned char>(bits >> count));
    }
    return made;
}

[[nodiscard]] PALI_INLINE std::vector<unsigned char> read_font(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
    std::vector<unsigned char> bytes;
    if (size >= 0 && size < std::streamoff{1} << 30) {
        bytes.resize(static_cast<std::size_t>(size));
        file.seekg(0);
        file.read(reinterpret_cast<char*>(bytes.data()), size);
    }
    if (!file || (bytes.empty() && size != 0))
        throw error(errc::cannot_open, {path.string(), ": the font cannot be read; does the file exist?"});
    return bytes;
}

}}} // namespace pali::PALI_ABI::image_detail

#endif
