// HEIC and AVIF decoder, through libheif: the primary image, rotated and cropped as its container says. The EXIF orientation of these files
// duplicates the container's and is ignored.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_HEIF

#  include <pali/image/impl/heif_chroma.ipp>
#  include <pali/image/impl/heif_identity.ipp>
#  include <pali/image/impl/heif_transformations.ipp>
#  include <pali/image/impl/source.ipp>

#  include <algorithm>
#  include <array>
#  include <cstring>
#  include <limits>
#  include <memory>
#  include <new>
#  include <optional>
#  include <string>
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

/// A container and its primary image.
struct heif_file {
    heif_ptr<heif_context> context;
    heif_ptr<heif_image_handle> primary;
};

/// `bytes` must outlive the result.
PALI_INLINE heif_file open_heif(const source& from, const char* format, std::string_view bytes) {
    heif_file made{heif_ptr<heif_context>(heif_context_alloc()), nullptr};
    if (made.context == nullptr) throw std::bad_alloc();
    heif_context_set_maximum_image_size_limit(
        made.context.get(), static_cast<int>(std::min<std::size_t>(from.options.max_side, std::numeric_limits<int>::max())));
    check_heif(from, format, heif_context_read_from_memory_without_copy(made.context.get(), bytes.data(), bytes.size(), nullptr));
    heif_image_handle* primary = nullptr;
    check_heif(from, format, heif_context_get_primary_image_handle(made.context.get(), &primary));
    made.primary.reset(primary);
    return made;
}

PALI_INLINE void check_heif_size(const source& from, int width, int height) {
    check_size(from, static_cast<std::size_t>(std::max(width, 0)), static_cast<std::size_t>(std::max(height, 0)));
}

struct heif_decoding {
    const char* decoder = nullptr; ///< of libheif 1.15 and later; any if null
    bool ignore_transformations = false;
};

/// dav1d, which libheif prefers, writes to standard error about damaged files, and libheif gives no access to its logger. libaom writes
/// nothing, and its pixels are the same. AV1 may also be in a file with the brand of HEIC. libheif 1.21 and later do not read a file if
/// they lack the decoder that is named here for its codec.
PALI_INLINE const char* find_heif_decoder([[maybe_unused]] const heif_properties& properties) {
#  if LIBHEIF_NUMERIC_VERSION >= 0x010f0000 // 1.15
    const auto has = [&](std::string_view configuration) {
        return std::any_of(properties.all.begin(), properties.all.end(), [&](const auto& one) { return one.first == configuration; });
    };
    if (!has("av1C") || has("hvcC")) return nullptr;
    std::array<const heif_decoder_descriptor*, 16> all = {};
    heif_get_decoder_descriptors(heif_compression_AV1, all.data(), static_cast<int>(all.size()));
    for (const heif_decoder_descriptor* const one : all) {
        const char* const id = one == nullptr ? nullptr : heif_decoder_descriptor_get_id_name(one);
        if (id != nullptr && std::string_view(id) == "aom") return id;
    }
#  endif
    return nullptr;
}

/// RGB as libheif returns it, with repeated chroma.
PALI_INLINE image decode_heif(const source& from, const char* format, const heif_file& file, const heif_decoding& how) {
    const heif_ptr<heif_decoding_options> options(heif_decoding_options_alloc());
    if (options == nullptr) throw std::bad_alloc();
    options->ignore_transformations = how.ignore_transformations;
    options->convert_hdr_to_8bit = 1;
#  if LIBHEIF_NUMERIC_VERSION >= 0x010f0000 // 1.15
    options->decoder_id = how.decoder;
#  endif
#  if LIBHEIF_NUMERIC_VERSION >= 0x01100000 // 1.16; earlier versions support nothing else
    options->color_conversion_options.preferred_chroma_upsampling_algorithm = heif_chroma_upsampling_nearest_neighbor;
    options->color_conversion_options.only_use_preferred_chroma_algorithm = 1;
#  endif
    heif_image* decoded = nullptr;
    check_heif(from, format,
               heif_decode_image(file.primary.get(), &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options.get()));
    const heif_ptr<heif_image> image(decoded);
    const int width = heif_image_get_width(decoded, heif_channel_interleaved),
              height = heif_image_get_height(decoded, heif_channel_interleaved);
    check_heif_size(from, width, height);
    int stride = 0;
    const std::uint8_t* const rows = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    if (rows == nullptr || stride < width * 3) damaged(from, format, "libheif returned no pixels");
    pali::image made(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    for (std::size_t y = 0; y < made.height; ++y) std::memcpy(made.at(0, y), rows + y * static_cast<std::size_t>(stride), made.width * 3);
    return made;
}

/// The conversion of the container's profile; if there is none, of the bitstream's, found by comparing `planes` with libheif's RGB.
PALI_INLINE ycbcr_conversion find_conversion(const source& from, const char* format, const heif_file& file, const heif_decoding& how,
                                             const image& planes) {
    heif_color_profile_nclx* found = nullptr;
    const heif_error status = heif_image_handle_get_nclx_color_profile(file.primary.get(), &found);
    const std::unique_ptr<heif_color_profile_nclx, void (*)(heif_color_profile_nclx*)> profile(found, heif_nclx_color_profile_free);
    if (status.code == heif_error_Ok && found != nullptr) return ycbcr_conversion::of(*found);
    return ycbcr_conversion::matching(planes, decode_heif(from, format, file, how));
}

PALI_INLINE image decode_heif(const source& from, bool is_avif) {
    const char* const format = is_avif ? "AVIF" : "HEIC";
    const heif_file file = open_heif(from, format, {reinterpret_cast<const char*>(from.data()), from.size()});
    const heif_image_handle* const primary = file.primary.get();
    check_heif_size(from, heif_image_handle_get_width(primary), heif_image_handle_get_height(primary));

    const heif_properties properties = find_heif_properties(from);
    const std::optional<chroma_subsampling> found = find_chroma_subsampling(properties);
    const chroma_subsampling halved = found.value_or(chroma_subsampling{});
    const std::vector<heif_transformation> transformations = find_heif_transformations(properties);
    const auto stored = [](int side) { return static_cast<std::size_t>(std::max(side, 0)); };
    // libavif interpolates chroma before any transformation.
    const bool by_pali = is_avif ? !transformations.empty()
                                 : split_chroma(transformations, halved, stored(heif_image_handle_get_ispe_width(primary)),
                                                stored(heif_image_handle_get_ispe_height(primary)));
    std::string identity;
    if (((is_avif && found) || by_pali) && heif_is_whole(from)) identity = with_identity_matrix(from);
    heif_decoding how{.decoder = find_heif_decoder(properties)};
    if (identity.empty()) return decode_heif(from, format, file, how);

    how.ignore_transformations = by_pali;
    image made = decode_heif(from, format, open_heif(from, format, identity), how);
    ycbcr_conversion conversion = find_conversion(from, format, file, how, made);
    const bool as_libyuv = is_avif && conversion.has_libyuv;
    if (as_libyuv) conversion.weights[2][1] = std::min(conversion.weights[2][1], 2.0f); // the greatest factor of libyuv on x86
    if (is_avif) interpolate_chroma(made, halved, as_libyuv);
    if (by_pali)
        made = transformed(std::move(made), transformations, halved, [&](image& p) {
            if (!is_avif) interpolate_chroma(p, halved, false);
        });
    check_size(from, made.width, made.height);
    (halved.is_gray ? conversion.gray() : conversion).apply(made);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail

#endif
