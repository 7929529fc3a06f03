// Text layout and rendering for labels: UTF-8 to glyphs, glyphs to a line that fits, line to pixels.
#pragma once

#include <pali/core/utf8.hpp>
#include <pali/image/image.hpp>
#include <pali/image/impl/brush.ipp>
#include <pali/image/impl/letters.hpp>
#include <pali/image/impl/typeface.ipp>
#include <pali/image/palette.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#if PALI_WITH_STB_TRUETYPE

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// A positioned glyph: its font, index and advance.
struct letter {
    std::size_t face = 0;
    int glyph = 0;
    float advance = 0; ///< in pixels
};

/// Glyphs from left to right.
struct line {
    std::vector<letter> letters;
    float width = 0;  ///< in pixels
    bool cut = false; ///< the text was cut off
};

/// Fonts at one size, with a cache of rendered glyphs.
class lettering {
public:
    explicit lettering(float em) : m_em(em) {
        // Strokes thinner than two pixels seldom cover a whole pixel. Up to 17 pixels per em, coverage is amplified so that they reach
        // their full color.
        const float stronger = 1 + 0.4f * std::clamp((17 - em) / 7, 0.f, 1.f);
        for (int cover = 0; cover < 256; ++cover)
            m_strength[static_cast<std::size_t>(cover)] =
                static_cast<std::uint8_t>(std::min(255.f, static_cast<float>(cover) * stronger + 0.5f));
    }

    /// Fonts are searched in the order in which they are added.
    void add(std::vector<unsigned char> bytes, const std::string& name) { m_faces.emplace_back(std::move(bytes), name); }

    [[nodiscard]] int ascent() const { return static_cast<int>(std::ceil(m_faces.front().ascent() * m_em)); }
    [[nodiscard]] int descent() const { return static_cast<int>(std::ceil(m_faces.front().descent() * m_em)); }

    /// Lays out as much of `text` as fits into `room` pixels.
    [[nodiscard]] line set(std::string_view text, float room) const {
        line made;
        while (!text.empty()) {
            const utf8_character c = first_character(text);
            text.remove_prefix(std::max<std::size_t>(c.length, 1));
            const char32_t code = shown(c.code); // invalid bytes have code 0, which is shown as U+FFFD
            if (code == 0) continue;
            letter next;
            if (!find(code, next)) continue;
            if (made.width + next.advance > room) {
                made.cut = true;
                break;
            }
            made.width += next.advance;
            made.letters.push_back(next);
        }
        return made;
    }

    /// Lays out `text` within `room` pixels. A text that is too long ends in an ellipsis. The line is empty if not even the ellipsis fits.
    [[nodiscard]] line fit(std::string_view text, float room) const {
        line made = set(text, room);
        if (!made.cut) return made;
        const line dots = set("\xE2\x80\xA6", room); // U+2026
        while (!made.letters.empty() &&
               (made.width + dots.width > room || made.letters.back().glyph == space_of(made.letters.back().face))) {
            made.width -= made.letters.back().advance;
            made.letters.pop_back();
        }
        if (made.letters.empty()) return {};
        append(made, dots);
        return made;
    }

    static void append(line& to, const line& more) {
        to.letters.insert(to.letters.end(), more.letters.begin(), more.letters.end());
        to.width += more.width;
    }

    /// Draws `what` from x on the baseline `base`, clipped to `clip`.
    void draw(image& on, const line& what, float x, int base, const area& clip, colour ink) {
        for (const letter& l : what.letters) {
            const float whole = std::floor(x);
            const int quarter = static_cast<int>((x - whole) * 4); // glyphs are rendered at four subpixel positions, for even spacing
            const glyph_image& glyph = image(l, quarter);
            const int left = static_cast<int>(whole) + glyph.left, top = base + glyph.top;
            const area part = clip & area{left, top, left + glyph.width, top + glyph.height};
            for (int row = part.y0; row < part.y1; ++row)
                for (int column = part.x0; column < part.x1; ++column)
                    blend(on, column, row, ink,
                          m_strength[glyph.cover[static_cast<std::size_t>((row - top) * glyph.width + column - left)]]);
            x += l.advance;
        }
    }

private:
    /// The code point to draw: itself, a space, or 0 for invisible format characters.
    [[nodiscard]] static char32_t shown(char32_t c) noexcept {
        if (c == '\t' || c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029) return ' ';
        if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return U'\uFFFD';
        const bool steers = c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
                            (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
        return steers ? 0 : c;
    }

    /// Whether `c` is a combining mark. Combining marks that no font has are skipped and not drawn as missing.
    [[nodiscard]] static bool combines(char32_t c) noexcept {
        return (c >= 0x300 && c <= 0x36f) || (c >= 0x483 && c <= 0x489) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x1dc0 && c <= 0x1dff) ||
               (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe20 && c <= 0xfe2f) || (c >= 0x1f3fb && c <= 0x1f3ff);
    }

    [[nodiscard]] bool find(char32_t code, letter& found) const {
        found = {.face = m_faces.size() - 1};
        for (std::size_t i = 0; i < m_faces.size() && found.glyph == 0; ++i)
            if (const int glyph = m_faces[i].find(code); glyph != 0) found = {.face = i, .glyph = glyph};
        if (found.glyph == 0 && combines(code)) return false;
        found.advance = m_faces[found.face].advance(found.glyph, m_em);
        return true;
    }

    [[nodiscard]] int space_of(std::size_t face) const { return m_faces[face].find(U' '); }

    [[nodiscard]] const glyph_image& image(const letter& l, int quarter) {
        const auto [at, is_new] = m_images.try_emplace({l.face, l.glyph, quarter});
        if (is_new) at->second = m_faces[l.face].render(l.glyph, m_em, static_cast<float>(quarter) / 4);
        return at->second;
    }

    float m_em;                                 ///< pixels
    std::array<std::uint8_t, 256> m_strength{}; ///< alpha by glyph coverage
    std::deque<typeface> m_faces;               // a deque, so that fonts keep their address
    std::map<std::tuple<std::size_t, int, int>, glyph_image> m_images;
};

}}} // namespace pali::PALI_ABI::image_detail

#endif
