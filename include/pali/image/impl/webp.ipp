// WebP decoder, through libwebp; the first frame of an animation.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_WEBP

#  include <pali/image/impl/source.ipp>

#  include <cstring>

#  include <webp/decode.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Location of a still image, or of the first frame of an animation, in the file.
struct webp_frame {
    const unsigned char* data = nullptr;
    std::size_t size = 0;
    std::size_t x = 0, y = 0;
    std::size_t canvas_width = 0, canvas_height = 0; // 0: same as the frame
};

PALI_INLINE webp_frame find_webp_frame(const source& from) {
    cursor in(from, "WebP", 4);
    const std::size_t size = in.u32();
    if (size > from.size() - 8) truncated(from, "WebP");
    webp_frame found{from.data(), size + 8};
    cursor chunks(from, "WebP", 12);
    const auto u24 = [](const unsigned char* b) {
        return b[0] | static_cast<std::size_t>(b[1]) << 8 | static_cast<std::size_t>(b[2]) << 16;
    };
    bool animated = false;
    while (chunks.left() >= 8 && chunks.position() < size + 8) {
        const unsigned char* kind = chunks.take(4);
        const std::size_t length = chunks.u32();
        const unsigned char* body = chunks.take(length);
        if (length % 2 == 1 && !chunks.at_end()) chunks.take(1);
        if (std::memcmp(kind, "VP8X", 4) == 0 && length >= 10) {
            animated = (body[0] & 2) != 0;
            if (!animated) break;
            found.canvas_width = u24(body + 4) + 1;
            found.canvas_height = u24(body + 7) + 1;
        } else if (animated && std::memcmp(kind, "ANMF", 4) == 0) {
            if (length < 16) break;
            found.x = u24(body) * 2;
            found.y = u24(body + 3) * 2;
            found.data = body + 16;
            found.size = length - 16;
            return found;
        } else if (!animated) {
            break;
        }
    }
    if (animated) damaged(from, "WebP", "its animation has no frame");
    return found;
}

PALI_INLINE image decode_webp(const source& from) {
    const webp_frame frame = find_webp_frame(from);
    if (frame.canvas_width != 0) check_size(from, frame.canvas_width, frame.canvas_height);
    WebPBitstreamFeatures features;
    const VP8StatusCode status = WebPGetFeatures(frame.data, frame.size, &features);
    if (status == VP8_STATUS_NOT_ENOUGH_DATA) truncated(from, "WebP");
    if (status != VP8_STATUS_OK || features.has_animation) damaged(from, "WebP", "its header is invalid");
    const auto width = static_cast<std::size_t>(features.width), height = static_cast<std::size_t>(features.height);
    check_size(from, width, height);
    image made(frame.canvas_width != 0 ? frame.canvas_width : width, frame.canvas_height != 0 ? frame.canvas_height : height);
    if (frame.x + width > made.width || frame.y + height > made.height) damaged(from, "WebP", "its first frame exceeds its canvas");
    std::uint8_t* const first = made.at(frame.x, frame.y);
    const std::size_t behind = static_cast<std::size_t>(first - made.pixels.data());
    if (WebPDecodeRGBInto(frame.data, frame.size, first, made.pixels.size() - behind, static_cast<int>(made.width * 3)) == nullptr)
        damaged(from, "WebP", "its data cannot be decoded");
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail

#endif
