// HEIC and AVIF decoder, through libheif: the primary image, rotated and cropped as its container says. The EXIF orientation of these files
// duplicates the container's and is ignored.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_HEIF

#  include <pali/image/impl/heif_chroma.ipp>
#  include <pali/image/impl/heif_transformations.ipp>
#  include <pali/image/impl/source.ipp>

#  include <algorithm>
#  include <cstring>
#  include <limits>
#  include <memory>
#  include <new>
#  include <string_view>
#  include <utility>
#  include <vector>

#  include <libheif/heif.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

struct heif_deleter {
    void operator()(heif_context* p) const noexcept { heif_context_free(p); }
    void operator()(heif_image_handle* p) const noexcept { heif_image_handle_release(p); }
    void operator()(heif_image* p) const noexcept { heif_image_release(p); }
    void operator()(heif_decoding_options* p) const noexcept { heif_decoding_options_free(p); }
};
template <class T>
using heif_ptr = std::unique_ptr<T, heif_deleter>;

/// Whether the top-level boxes of the container are complete.
PALI_INLINE bool heif_is_whole(const source& from) {
    const std::string_view all(reinterpret_cast<const char*>(from.data()), from.size());
    const auto number = [&](std::size_t at, std::size_t bytes) { return heif_bytes{all.substr(at)}.number(bytes); };
    for (std::size_t at = 0; at < from.size();) {
        if (from.size() - at < 16) return from.size() - at >= 8 && number(at, 4) == from.size() - at;
        std::uint64_t box = number(at, 4);
        if (box == 0) return true; // extends to the end of the file
        if (box == 1) box = number(at + 8, 8);
        if (box < 8 || box > from.size() - at) return box < 8;
        at += static_cast<std::size_t>(box);
    }
    return true;
}

PALI_INLINE void check_heif(const source& from, const char* format, const heif_error& status) {
    if (status.code == heif_error_Ok) return;
    std::string_view message = status.message == nullptr ? "" : status.message;
    while (message.ends_with('\n')) message.remove_suffix(1);
    if (status.subcode == heif_suberror_Security_limit_exceeded)
        refuse(errc::image_too_large, from,
               {"a side of the ", format, " is longer than the limit of ", from.options.max_side,
                " pixels: raise max_side if you trust the file"});
    if (status.code == heif_error_Memory_allocation_error) throw std::bad_alloc();
    if (status.code == heif_error_Unsupported_filetype || status.code == heif_error_Unsupported_feature)
        refuse(errc::unsupported_image, from,
               {"libheif cannot decode this ", format, ": ", message,
                ". If its decoders are separate packages (Debian 13: libheif-plugin-libde265 for HEIC, libheif-plugin-dav1d for "
                "AVIF), install them"});
    if (!heif_is_whole(from)) truncated(from, format);
    damaged(from, format, message);
}

/// Interpolates chroma with the matrix coefficients of the container, or with those of BT.601 if the container has none or if libavif does
/// not support them.
PALI_INLINE void interpolate_chroma(image& image, const heif_image_handle* handle, chroma_subsampling halved) {
    heif_color_profile_nclx* found = nullptr;
    const heif_error status = heif_image_handle_get_nclx_color_profile(handle, &found);
    const std::unique_ptr<heif_color_profile_nclx, void (*)(heif_color_profile_nclx*)> profile(found, heif_nclx_color_profile_free);
    std::pair<float, float> red_and_blue{0.299f, 0.114f};
    if (status.code == heif_error_Ok && found != nullptr) {
        switch (found->matrix_coefficients) {
        case heif_matrix_coefficients_RGB_GBR:
        case heif_matrix_coefficients_YCgCo:
            return;
        case heif_matrix_coefficients_ITU_R_BT_709_5:
            red_and_blue = {0.2126f, 0.0722f};
            break;
        case heif_matrix_coefficients_US_FCC_T47:
            red_and_blue = {0.30f, 0.11f};
            break;
        case heif_matrix_coefficients_SMPTE_240M:
            red_and_blue = {0.212f, 0.087f};
            break;
        case heif_matrix_coefficients_ITU_R_BT_2020_2_non_constant_luminance:
            red_and_blue = {0.2627f, 0.0593f};
            break;
        default:
            break;
        }
    }
    chroma_interpolation(image, red_and_blue.first, red_and_blue.second).apply(halved);
}

PALI_INLINE image decode_heif(const source& from, bool is_avif) {
    const char* const format = is_avif ? "AVIF" : "HEIC";
    const heif_ptr<heif_context> context(heif_context_alloc());
    const heif_ptr<heif_decoding_options> options(heif_decoding_options_alloc());
    if (context == nullptr || options == nullptr) throw std::bad_alloc();
    heif_context_set_maximum_image_size_limit(
        context.get(), static_cast<int>(std::min<std::size_t>(from.options.max_side, std::numeric_limits<int>::max())));
    check_heif(from, format, heif_context_read_from_memory_without_copy(context.get(), from.data(), from.size(), nullptr));
    heif_image_handle* primary = nullptr;
    check_heif(from, format, heif_context_get_primary_image_handle(context.get(), &primary));
    const heif_ptr<heif_image_handle> handle(primary);
    const auto check = [&](int width, int height) {
        check_size(from, static_cast<std::size_t>(std::max(width, 0)), static_cast<std::size_t>(std::max(height, 0)));
    };
    check(heif_image_handle_get_width(primary), heif_image_handle_get_height(primary));

    const chroma_subsampling halved = is_avif ? find_avif_subsampling(from) : find_heic_subsampling(from);
    const std::vector<heif_transformation> transformations = find_heif_transformations(from);
    const auto stored = [](int side) { return static_cast<std::size_t>(std::max(side, 0)); };
    const bool by_pali = split_chroma(transformations, halved, stored(heif_image_handle_get_ispe_width(primary)),
                                      stored(heif_image_handle_get_ispe_height(primary)));
    options->ignore_transformations = by_pali;
    options->convert_hdr_to_8bit = 1;
#  if LIBHEIF_NUMERIC_VERSION >= 0x010f0000 // 1.15
    // libheif prefers dav1d, which writes to standard error about damaged files, and gives no access to dav1d's logger. libaom writes
    // nothing and returns the same pixels. If libaom is not installed, and for HEVC, libheif uses another decoder. The option is set for
    // every file, because a file with the brand of HEIC may also contain AV1.
    options->decoder_id = "aom";
#  endif
#  if LIBHEIF_NUMERIC_VERSION >= 0x01100000 // 1.16; earlier versions support no other algorithm
    options->color_conversion_options.preferred_chroma_upsampling_algorithm = heif_chroma_upsampling_nearest_neighbor;
    options->color_conversion_options.only_use_preferred_chroma_algorithm = 1;
#  endif
    heif_image* decoded = nullptr;
    check_heif(from, format, heif_decode_image(primary, &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options.get()));
    const heif_ptr<heif_image> image(decoded);
    const int width = heif_image_get_width(decoded, heif_channel_interleaved),
              height = heif_image_get_height(decoded, heif_channel_interleaved);
    check(width, height);
    int stride = 0;
    const std::uint8_t* const rows = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    if (rows == nullptr || stride < width * 3) damaged(from, format, "libheif returned no pixels");
    pali::image made(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    for (std::size_t y = 0; y < made.height; ++y) std::memcpy(made.at(0, y), rows + y * static_cast<std::size_t>(stride), made.width * 3);
    if (is_avif && halved.columns) interpolate_chroma(made, primary, halved);
    if (!by_pali) return made;
    made = transformed(std::move(made), transformations, halved, [&](pali::image& p) {
        if (!is_avif) interpolate_chroma(p, primary, halved);
    });
    check_size(from, made.width, made.height);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail

#endif
