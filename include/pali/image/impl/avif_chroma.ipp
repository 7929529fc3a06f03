// Chroma upsampling of AVIF as in Pillow. libheif replicates subsampled chroma; libavif, and therefore Pillow, interpolates it. The two
// differ by more than 16 levels at edges.
#pragma once

#include <pali/image/impl/source.ipp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Axes along which chroma is subsampled: 4:2:0 both, 4:2:2 columns only.
struct avif_subsampling {
    bool columns = false, rows = false;
};

/// Reads the subsampling from the first codec configuration (av1C) that is not monochrome; libheif has no call for it.
PALI_INLINE avif_subsampling find_avif_subsampling(const source& from) {
    const std::string_view bytes(reinterpret_cast<const char*>(from.data()), from.size());
    for (std::size_t at = bytes.find("av1C"); at != bytes.npos && bytes.size() - at >= 8; at = bytes.find("av1C", at + 4)) {
        const auto version = static_cast<unsigned char>(bytes[at + 4]), flags = static_cast<unsigned char>(bytes[at + 6]);
        if (version == 0x81 && (flags & 0x10) == 0) return {(flags & 0x08) != 0, (flags & 0x04) != 0}; // 0x10: monochrome
    }
    return {};
}

/// Replaces replicated chroma by interpolated chroma. `red` and `blue` are the luma weights Kr and Kb.
class chroma_interpolation {
public:
    chroma_interpolation(image& image, float red, float blue) : m_image(image), m_red(red), m_blue(blue) {}

    void apply(avif_subsampling halved) {
        // The container may have rotated or cropped the image: pairs may start at odd positions, and column pairs may have become row
        // pairs.
        const axis across = find_pairs(true), down = find_pairs(false);
        const bool turned = halved.columns && !halved.rows && down.difference < across.difference;
        m_x = {halved.columns && !turned, across.first};
        m_y = {halved.rows || turned, down.first};
        const std::size_t columns = m_x.block(m_image.width - 1) + 1, rows = m_y.block(m_image.height - 1) + 1;
        std::vector<chroma> blocks(columns * rows);
        std::vector<float> counts(columns * rows);
        for (std::size_t y = 0; y < m_image.height; ++y)
            for (std::size_t x = 0; x < m_image.width; ++x) {
                const std::size_t at = m_y.block(y) * columns + m_x.block(x);
                const chroma c = chroma_of(m_image.at(x, y));
                blocks[at].blue += c.blue, blocks[at].red += c.red;
                counts[at] += 1;
            }
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].blue /= counts[i], blocks[i].red /= counts[i];
        for (std::size_t y = 0; y < m_image.height; ++y) {
            const std::size_t near = m_y.block(y) * columns, far = m_y.next(y, rows) * columns;
            for (std::size_t x = 0; x < m_image.width; ++x) {
                const std::size_t left = m_x.block(x), right = m_x.next(x, columns);
                const auto mix = [&](float chroma::* c) {
                    return (9 * (blocks[near + left].*c) + 3 * (blocks[near + right].*c) + 3 * (blocks[far + left].*c) +
                            blocks[far + right].*c) /
                           16;
                };
                set(m_image.at(x, y), mix(&chroma::blue), mix(&chroma::red));
            }
        }
    }

private:
    struct chroma {
        float blue = 0, red = 0; ///< B - Y and R - Y
    };
    struct axis {
        bool halved = false;
        std::size_t first = 0; ///< 1: the first block holds only half a pair
        double difference = 0; ///< summed chroma difference within pairs that start there

        [[nodiscard]] std::size_t block(std::size_t at) const noexcept { return halved ? (at + first) / 2 : at; }
        /// The block on the other side of the nearer edge: chroma samples are centered in their pairs.
        [[nodiscard]] std::size_t next(std::size_t at, std::size_t blocks) const noexcept {
            if (!halved) return at;
            const std::size_t own = block(at);
            return (at + first) % 2 == 0 ? (own == 0 ? 0 : own - 1) : std::min(own + 1, blocks - 1);
        }
    };

    [[nodiscard]] float luma(const std::uint8_t* p) const noexcept {
        return m_red * static_cast<float>(p[0]) + (1 - m_red - m_blue) * static_cast<float>(p[1]) + m_blue * static_cast<float>(p[2]);
    }
    [[nodiscard]] chroma chroma_of(const std::uint8_t* p) const noexcept {
        const float y = luma(p);
        return {static_cast<float>(p[2]) - y, static_cast<float>(p[0]) - y};
    }
    void set(std::uint8_t* p, float blue, float red) const noexcept {
        const float y = luma(p), green = (m_red * red + m_blue * blue) / (1 - m_red - m_blue);
        const auto level = [](float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f)); };
        p[0] = level(y + red), p[1] = level(y - green), p[2] = level(y + blue);
    }

    /// Finds whether pairs of equal chroma start at even or at odd positions.
    [[nodiscard]] axis find_pairs(bool across) const {
        std::array<double, 2> differences{};
        const std::size_t length = across ? m_image.width : m_image.height, lines = across ? m_image.height : m_image.width;
        for (std::size_t line = 0; line < lines; line += 1 + lines / 256)
            for (std::size_t i = 0; i + 1 < length; ++i) {
                const chroma a = chroma_of(across ? m_image.at(i, line) : m_image.at(line, i));
                const chroma b = chroma_of(across ? m_image.at(i + 1, line) : m_image.at(line, i + 1));
                differences[i % 2] += static_cast<double>(std::abs(a.blue - b.blue) + std::abs(a.red - b.red));
            }
        const std::size_t first = differences[1] < differences[0] ? 1 : 0;
        return {true, first, differences[first]};
    }

    image& m_image;
    float m_red, m_blue;
    axis m_x, m_y;
};

}}} // namespace pali::PALI_ABI::image_detail
