// PNG and JPEG encoders, through stb, if libpng or libjpeg is absent.
#pragma once

#include <pali/image/image.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include <math.h>
#include <stdlib.h>
#include <string.h>

// stb is compiled into a namespace of pali, so that it cannot clash with another copy in the program.
#pragma push_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma push_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_WRITE_STATIC")
#pragma push_macro("STBIWDEF")
#undef INCLUDE_STB_IMAGE_WRITE_H
#undef STBIWDEF
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(condition) ((void)0)
#if defined(__GNUC__)
#  pragma GCC diagnostic push
#  pragma GCC diagnostic ignored "-Wunused-function"
#  pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#  pragma GCC diagnostic ignored "-Wconversion"
#  pragma GCC diagnostic ignored "-Wsign-conversion"
#  pragma GCC diagnostic ignored "-Wsign-compare"
#  pragma GCC diagnostic ignored "-Wshadow"
#  pragma GCC diagnostic ignored "-Wpedantic"
#endif
namespace pali { inline namespace PALI_ABI { namespace image_detail { namespace stb {
#if __has_include(<stb/stb_image_write.h>)
#  include <stb/stb_image_write.h>
#else
#  include <stb_image_write.h>
#endif
}}}} // namespace pali::PALI_ABI::image_detail::stb
#if defined(__GNUC__)
#  pragma GCC diagnostic pop
#endif
#undef STBI_WRITE_NO_STDIO
#undef STBIW_ASSERT
#undef STBIW_MALLOC
#undef STBIW_REALLOC
#undef STBIW_FREE
#undef STBIW_REALLOC_SIZED
#undef STBIW_MEMMOVE
#undef STBIW_UCHAR
#pragma pop_macro("STBIWDEF")
#pragma pop_macro("STB_IMAGE_WRITE_STATIC")
#pragma pop_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma pop_macro("INCLUDE_STB_IMAGE_WRITE_H")

namespace pali { inline namespace PALI_ABI { namespace image_detail {

PALI_INLINE std::vector<std::byte> encode_png_by_stb(std::size_t width, std::size_t height, std::size_t channels,
                                                     const std::uint8_t* pixels) {
    int size = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> data(stb::stbi_write_png_to_mem(pixels, static_cast<int>(width * channels),
                                                                                          static_cast<int>(width), static_cast<int>(height),
                                                                                          static_cast<int>(channels), &size),
                                                               [](void* p) { std::free(p); });
    if (data == nullptr) throw std::bad_alloc();
    const auto* bytes = reinterpret_cast<const std::byte*>(data.get());
    return {bytes, bytes + size};
}

PALI_INLINE std::vector<std::byte> encode_jpeg_by_stb(const image& image, int quality) {
    std::vector<std::byte> made;
    stb::stbi_write_jpg_to_func(
        [](void* to, void* data, int size) {
            const auto* bytes = static_cast<const std::byte*>(data);
            static_cast<std::vector<std::byte>*>(to)->insert(static_cast<std::vector<std::byte>*>(to)->end(), bytes, bytes + size);
        },
        &made, static_cast<int>(image.width), static_cast<int>(image.height), 3, image.pixels.data(), quality);
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail
