// Chroma of AVIF and HEIC as Pillow shows it. libheif repeats subsampled chroma; libavif, and therefore Pillow, interpolates it. At edges
// the results differ by more than 16 levels.
#pragma once

#include <pali/image/impl/source.ipp>

#include <algorithm>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Which dimensions of the chroma planes are halved: both for 4:2:0, columns for 4:2:2.
struct chroma_subsampling {
    bool columns = false, rows = false;
};

/// Subsampling of an AVIF, from its first codec configuration (av1C) that is not monochrome; libheif has no function for this.
PALI_INLINE chroma_subsampling find_avif_subsampling(const source& from) {
    const std::string_view bytes(reinterpret_cast<const char*>(from.data()), from.size());
    for (std::size_t at = bytes.find("av1C"); at != bytes.npos && bytes.size() - at >= 8; at = bytes.find("av1C", at + 4)) {
        const auto version = static_cast<unsigned char>(bytes[at + 4]), flags = static_cast<unsigned char>(bytes[at + 6]);
        if (version == 0x81 && (flags & 0x10) == 0) return {(flags & 0x08) != 0, (flags & 0x04) != 0}; // 0x10: grey
    }
    return {};
}

/// Subsampling of a HEIC, from its first codec configuration (hvcC) that is not monochrome.
PALI_INLINE chroma_subsampling find_heic_subsampling(const source& from) {
    const std::string_view bytes(reinterpret_cast<const char*>(from.data()), from.size());
    for (std::size_t at = bytes.find("hvcC"); at != bytes.npos && bytes.size() - at >= 21; at = bytes.find("hvcC", at + 4))
        if (const int format = bytes[at + 20] & 3; bytes[at + 4] == 1 && format != 0) return {format != 3, format == 1};
    return {};
}

/// Replaces repeated chroma (for pairs of columns, rows or both) by interpolated chroma. `red` and `blue` are the luma coefficients Kr and
/// Kb.
class chroma_interpolation {
public:
    chroma_interpolation(image& image, float red, float blue) : m_image(image), m_red(red), m_blue(blue) {}

    /// `image` starts at a pair: its first pixel is the first of a chroma block.
    void apply(chroma_subsampling halved) {
        const axis across{halved.columns}, down{halved.rows};
        const std::size_t columns = across.block(m_image.width - 1) + 1, rows = down.block(m_image.height - 1) + 1;
        std::vector<chroma> blocks(columns * rows);
        std::vector<float> weights(columns * rows);
        for (std::size_t y = 0; y < m_image.height; ++y)
            for (std::size_t x = 0; x < m_image.width; ++x) {
                const std::size_t at = down.block(y) * columns + across.block(x);
                const chroma c = chroma_of(m_image.at(x, y));
                const float weight = is_clipped(m_image.at(x, y)) ? 1e-3f : 1; // clipping to 0 or 255 has destroyed the chroma of the pixel
                blocks[at].blue += weight * c.blue, blocks[at].red += weight * c.red;
                weights[at] += weight;
            }
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].blue /= weights[i], blocks[i].red /= weights[i];
        for (std::size_t y = 0; y < m_image.height; ++y) {
            const std::size_t near = down.block(y) * columns, far = down.next(y, rows) * columns;
            for (std::size_t x = 0; x < m_image.width; ++x) {
                const std::size_t left = across.block(x), right = across.next(x, columns);
                const auto mix = [&](float chroma::* c) {
                    return (9 * (blocks[near + left].*c) + 3 * (blocks[near + right].*c) + 3 * (blocks[far + left].*c) +
                            blocks[far + right].*c) /
                           16;
                };
                std::uint8_t* const p = m_image.at(x, y);
                set(p, weights[near + left] >= 1 ? luma_of(p, blocks[near + left]) : luma(p), mix(&chroma::blue), mix(&chroma::red));
            }
        }
    }

private:
    struct chroma {
        float blue = 0, red = 0; ///< B - Y and R - Y
    };
    struct axis {
        bool halved = false;

        [[nodiscard]] std::size_t block(std::size_t at) const noexcept { return halved ? at / 2 : at; }
        /// The neighboring block across the nearer edge; a chroma sample is at the center of its block.
        [[nodiscard]] std::size_t next(std::size_t at, std::size_t blocks) const noexcept {
            if (!halved) return at;
            const std::size_t own = block(at);
            return at % 2 == 0 ? (own == 0 ? 0 : own - 1) : std::min(own + 1, blocks - 1);
        }
    };

    [[nodiscard]] float luma(const std::uint8_t* p) const noexcept {
        return m_red * static_cast<float>(p[0]) + (1 - m_red - m_blue) * static_cast<float>(p[1]) + m_blue * static_cast<float>(p[2]);
    }
    [[nodiscard]] chroma chroma_of(const std::uint8_t* p) const noexcept {
        const float y = luma(p);
        return {static_cast<float>(p[2]) - y, static_cast<float>(p[0]) - y};
    }
    [[nodiscard]] static bool is_clipped(std::uint8_t v) noexcept { return v == 0 || v == 255; }
    [[nodiscard]] static bool is_clipped(const std::uint8_t* p) noexcept {
        return is_clipped(p[0]) || is_clipped(p[1]) || is_clipped(p[2]);
    }
    /// The chroma term that is subtracted from luma to get green.
    [[nodiscard]] float green_of(chroma c) const noexcept { return (m_red * c.red + m_blue * c.blue) / (1 - m_red - m_blue); }
    /// Luma of a pixel. If a component was clipped, luma follows from the average chroma of the block and an unclipped component.
    [[nodiscard]] float luma_of(const std::uint8_t* p, chroma own) const noexcept {
        if (!is_clipped(p)) return luma(p);
        if (!is_clipped(p[1])) return static_cast<float>(p[1]) + green_of(own);
        if (!is_clipped(p[0])) return static_cast<float>(p[0]) - own.red;
        if (!is_clipped(p[2])) return static_cast<float>(p[2]) - own.blue;
        return luma(p);
    }
    void set(std::uint8_t* p, float y, float blue, float red) const noexcept {
        const float green = green_of({blue, red});
        const auto level = [](float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f)); };
        p[0] = level(y + red), p[1] = level(y - green), p[2] = level(y + blue);
    }

    image& m_image;
    float m_red, m_blue;
};

}}} // namespace pali::PALI_ABI::image_detail
