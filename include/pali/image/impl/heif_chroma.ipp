// Chroma of AVIF and HEIC as Pillow shows it. libheif repeats subsampled chroma; libavif, and therefore Pillow, interpolates it. At edges
// the results differ by more than 16 levels. Y, Cb and Cr are in an image as libheif returns them for the identity matrix
// (heif_identity.ipp): Cr as red, Y as green, Cb as blue.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_HEIF

#  include <pali/image/impl/heif_bytes.ipp>

#  include <algorithm>
#  include <array>
#  include <cmath>
#  include <cstdint>
#  include <cstdlib>
#  include <limits>
#  include <optional>
#  include <string_view>
#  include <vector>

#  include <libheif/heif.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Which dimensions of the chroma planes are halved: both for 4:2:0, columns for 4:2:2.
struct chroma_subsampling {
    bool columns = false, rows = false;
    bool is_gray = false; ///< 4:0:0: there are no chroma planes
};

/// Subsampling of the primary image, from its codec configuration; libheif has no function for this. A grid has none: that of its tiles is
/// the first that is not monochrome, as alpha is. Empty if there is no HEVC or AV1 image.
PALI_INLINE std::optional<chroma_subsampling> find_chroma_subsampling(const heif_properties& properties) {
    const auto configured = [](std::string_view type, heif_bytes content) -> std::optional<chroma_subsampling> {
        if (type == "av1C" && content.number(1) == 0x81) {
            const std::uint64_t flags = content.number(2) & 0xff;
            const bool is_gray = (flags & 0x10) != 0;
            return chroma_subsampling{!is_gray && (flags & 0x08) != 0, !is_gray && (flags & 0x04) != 0, is_gray};
        }
        if (type == "hvcC" && content.number(1) == 1 && content.left.size() > 15) {
            const int format = content.left[15] & 3; // 4:0:0, 4:2:0, 4:2:2, 4:4:4
            return chroma_subsampling{format == 1 || format == 2, format == 1, format == 0};
        }
        return std::nullopt;
    };
    for (const auto& [type, content] : properties.primary)
        if (const auto found = configured(type, content)) return found;
    std::optional<chroma_subsampling> gray;
    for (const auto& [type, content] : properties.all)
        if (const auto found = configured(type, content)) {
            if (!found->is_gray) return found;
            gray = found;
        }
    return gray;
}

/// Replaces repeated chroma (for pairs of columns, rows or both) by interpolated chroma, rounded like libyuv's. `image` starts at a pair:
/// its first pixel is the first of a chroma block. `as_libyuv`: the chroma of an odd last column is not interpolated.
PALI_INLINE void interpolate_chroma(image& image, chroma_subsampling halved, bool as_libyuv) {
    struct axis {
        bool halved;
        std::size_t blocks;

        axis(bool is_halved, std::size_t length) : halved(is_halved), blocks(is_halved ? (length + 1) / 2 : length) {}
        [[nodiscard]] std::size_t block(std::size_t at) const noexcept { return halved ? at / 2 : at; }
        /// The neighboring block across the nearer edge; a chroma sample is at the center of its block.
        [[nodiscard]] std::size_t next(std::size_t at) const noexcept {
            if (!halved) return at;
            const std::size_t own = block(at);
            return at % 2 == 0 ? (own == 0 ? 0 : own - 1) : std::min(own + 1, blocks - 1);
        }
    };
    if (!halved.columns && !halved.rows) return;
    const axis across(halved.columns, image.width), down(halved.rows, image.height);
    std::vector<std::array<std::uint8_t, 2>> blocks(across.blocks * down.blocks);
    for (std::size_t y = 0; y < image.height; ++y)
        for (std::size_t x = 0; x < image.width; ++x) {
            const std::uint8_t* const p = image.at(x, y);
            blocks[down.block(y) * across.blocks + across.block(x)] = {p[0], p[2]};
        }
    for (std::size_t y = 0; y < image.height; ++y) {
        const auto* const near = &blocks[down.block(y) * across.blocks];
        const auto* const far = &blocks[down.next(y) * across.blocks];
        for (std::size_t x = 0; x < image.width; ++x) {
            const std::size_t own = across.block(x), next = as_libyuv && x + 1 == image.width ? own : across.next(x);
            std::uint8_t* const p = image.at(x, y);
            const auto mixed = [&](std::size_t c) {
                return static_cast<std::uint8_t>((9 * near[own][c] + 3 * near[next][c] + 3 * far[own][c] + far[next][c] + 8) / 16);
            };
            p[0] = mixed(0), p[2] = mixed(1);
        }
    }
}

/// Conversion of Y, Cb and Cr (8 bits) to RGB.
struct ycbcr_conversion {
    std::array<std::array<float, 3>, 3> weights = {}; ///< of Y, Cb and Cr, for red, green and blue
    float black = 0, neutral = 128;                   ///< Y of black; Cb and Cr of gray
    bool has_libyuv = false;                          ///< libavif converts by libyuv

    /// Conversion with the luma coefficients Kr and Kb.
    static ycbcr_conversion of(float red, float blue, bool is_full, bool has_libyuv = false) {
        const float green = 1 - red - blue;
        ycbcr_conversion made{
            {{{1, 0, 2 * (1 - red)}, {1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green}, {1, 2 * (1 - blue), 0}}}};
        made.has_libyuv = has_libyuv;
        if (is_full) return made;
        made.black = 16;
        for (auto& row : made.weights) row[0] *= 255.0f / 219, row[1] *= 255.0f / 224, row[2] *= 255.0f / 224;
        return made;
    }
    /// Conversion of the profile; with BT.601 if libavif does not support its matrix coefficients.
    static ycbcr_conversion of(const heif_color_profile_nclx& profile) {
        const bool is_full = profile.full_range_flag != 0;
        switch (profile.matrix_coefficients) {
        case heif_matrix_coefficients_RGB_GBR: {
            const float scale = is_full ? 1 : 255.0f / 219, black = is_full ? 0.0f : 16.0f;
            return {{{{0, 0, scale}, {scale, 0, 0}, {0, scale, 0}}}, black, black};
        }
        case heif_matrix_coefficients_YCgCo:
            return {{{{1, -1, 1}, {1, 1, 0}, {1, -1, -1}}}};
        case heif_matrix_coefficients_ITU_R_BT_709_5:
            return of(0.2126f, 0.0722f, is_full, true);
        case heif_matrix_coefficients_US_FCC_T47:
            return of(0.30f, 0.11f, is_full);
        case heif_matrix_coefficients_SMPTE_240M:
            return of(0.212f, 0.087f, is_full);
        case heif_matrix_coefficients_ITU_R_BT_2020_2_non_constant_luminance:
        case heif_matrix_coefficients_ITU_R_BT_2020_2_constant_luminance:
            return of(0.2627f, 0.0593f, is_full, true);
        case heif_matrix_coefficients_chromaticity_derived_non_constant_luminance:
        case heif_matrix_coefficients_chromaticity_derived_constant_luminance:
            return derived(profile, is_full);
        default:
            return of(0.299f, 0.114f, is_full, true);
        }
    }
    /// The conversion that libheif used: the one that maps `image` best to its `rgb`. For files whose profile is only in the bitstream;
    /// libheif before 1.16 does not tell it.
    static ycbcr_conversion matching(const image& image, const pali::image& rgb) {
        ycbcr_conversion best;
        auto least = std::numeric_limits<std::size_t>::max();
        for (const auto matrix : {heif_matrix_coefficients_ITU_R_BT_601_6, heif_matrix_coefficients_ITU_R_BT_709_5,
                                  heif_matrix_coefficients_ITU_R_BT_2020_2_non_constant_luminance, heif_matrix_coefficients_SMPTE_240M,
                                  heif_matrix_coefficients_US_FCC_T47, heif_matrix_coefficients_RGB_GBR, heif_matrix_coefficients_YCgCo})
            for (const bool is_full : {true, false}) {
                heif_color_profile_nclx profile{};
                profile.matrix_coefficients = matrix, profile.full_range_flag = is_full ? 1 : 0;
                const ycbcr_conversion one = of(profile);
                const std::size_t pixels = image.width * image.height, step = pixels / 65536 + 1;
                std::size_t differences = 0;
                for (std::size_t i = 0; i < pixels; i += step) {
                    const std::array<std::uint8_t, 3> made = one.rgb(&image.pixels[3 * i]);
                    for (std::size_t c = 0; c < 3; ++c) differences += static_cast<std::size_t>(std::abs(made[c] - rgb.pixels[3 * i + c]));
                }
                if (differences < least) least = differences, best = one;
            }
        return best;
    }

    /// Gray of luma alone.
    [[nodiscard]] ycbcr_conversion gray() const noexcept {
        ycbcr_conversion made = *this;
        const float scale = black > 0 ? 255.0f / 219 : 1;
        for (auto& row : made.weights) row = {scale, 0, 0};
        return made;
    }
    /// RGB of one pixel, which holds Cr, Y and Cb.
    [[nodiscard]] std::array<std::uint8_t, 3> rgb(const std::uint8_t* p) const noexcept {
        const float y = static_cast<float>(p[1]) - black, blue = static_cast<float>(p[2]) - neutral,
                    red = static_cast<float>(p[0]) - neutral;
        std::array<std::uint8_t, 3> made;
        for (std::size_t c = 0; c < 3; ++c)
            made[c] =
                static_cast<std::uint8_t>(std::clamp(weights[c][0] * y + weights[c][1] * blue + weights[c][2] * red + 0.5f, 0.0f, 255.0f));
        return made;
    }
    void apply(image& image) const {
        for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
            const std::array<std::uint8_t, 3> made = rgb(&image.pixels[i]);
            std::copy(made.begin(), made.end(), &image.pixels[i]);
        }
    }

private:
    /// Kr and Kb from the primaries (H.273); BT.709's if they are not given.
    static ycbcr_conversion derived(const heif_color_profile_nclx& p, bool is_full) {
        struct xyz {
            float x, y, z;
            xyz(float x_of, float y_of) : x(x_of), y(y_of), z(1 - x_of - y_of) {}
        };
        const xyz r(p.color_primary_red_x, p.color_primary_red_y), g(p.color_primary_green_x, p.color_primary_green_y),
            b(p.color_primary_blue_x, p.color_primary_blue_y), w(p.color_primary_white_x, p.color_primary_white_y);
        const auto determinant = [](const xyz& i, const xyz& j, const xyz& k) {
            return i.x * (j.y * k.z - k.y * j.z) + i.y * (k.x * j.z - j.x * k.z) + i.z * (j.x * k.y - k.x * j.y);
        };
        const float all = w.y * determinant(r, g, b);
        if (!(std::abs(all) > 1e-6f)) return of(0.2126f, 0.0722f, is_full, true);
        return of(r.y * determinant(w, g, b) / all, b.y * determinant(w, r, g) / all, is_full,
                  p.color_primaries == heif_color_primaries_ITU_R_BT_709_5 ||
                      p.color_primaries == heif_color_primaries_ITU_R_BT_470_6_System_B_G ||
                      p.color_primaries == heif_color_primaries_ITU_R_BT_601_6 ||
                      p.color_primaries == heif_color_primaries_ITU_R_BT_2020_2_and_2100_0);
    }
};

}}} // namespace pali::PALI_ABI::image_detail

#endif
