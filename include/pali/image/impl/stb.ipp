// JPEG and PNG decoder, through stb, if libjpeg or libpng is absent. stb_checks.ipp checks what stb does not check.
#pragma once

#include <pali/image/impl/formats.hpp>
#include <pali/image/impl/source.ipp>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

// The headers that stb includes. They are included here, because stb itself is included inside a namespace.
#include <cassert>
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if PALI_WITH_STB

// stb is compiled into a namespace of pali, so that it cannot clash with another copy in the program.
#  pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#  pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#  pragma push_macro("STB_IMAGE_STATIC")
#  pragma push_macro("STBIDEF")
#  undef STBI_INCLUDE_STB_IMAGE_H
#  undef STBIDEF
#  define STB_IMAGE_IMPLEMENTATION
#  define STB_IMAGE_STATIC
#  define STBI_NO_STDIO
#  define STBI_NO_SIMD
#  define STBI_NO_HDR
#  define STBI_NO_LINEAR
#  define STBI_NO_PSD
#  define STBI_NO_PIC
#  define STBI_NO_GIF
#  define STBI_NO_BMP
#  define STBI_NO_TGA
#  define STBI_NO_PNM
#  define STBI_NO_FAILURE_STRINGS
#  define STBI_ASSERT(condition) ((void)0)
// Memory is zero-initialized, because for damaged JPEGs (missing data or tables) stb uses or returns memory that it never wrote.
#  define STBI_MALLOC(size) std::calloc(1, size)
#  define STBI_REALLOC(memory, size) std::realloc(memory, size)
#  define STBI_FREE(memory) std::free(memory)
#  if PALI_WITH_JPEG
#    define STBI_NO_JPEG
#  endif
#  if PALI_WITH_PNG
#    define STBI_NO_PNG
#  endif
#  if defined(__GNUC__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wunused-function"
#    pragma GCC diagnostic ignored "-Wunused-variable"
#    pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#    pragma GCC diagnostic ignored "-Wunused-parameter"
#    pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#    pragma GCC diagnostic ignored "-Wconversion"
#    pragma GCC diagnostic ignored "-Wsign-conversion"
#    pragma GCC diagnostic ignored "-Wsign-compare"
#    pragma GCC diagnostic ignored "-Wold-style-cast"
#    pragma GCC diagnostic ignored "-Wcast-qual"
#    pragma GCC diagnostic ignored "-Wshadow"
#    pragma GCC diagnostic ignored "-Wpedantic"
#  endif
namespace pali { inline namespace PALI_ABI { namespace image_detail { namespace stb {
#  if __has_include(<stb/stb_image.h>)
#    include <stb/stb_image.h>
#  else
#    include <stb_image.h>
#  endif
}}}} // namespace pali::PALI_ABI::image_detail::stb
#  if defined(__GNUC__)
#    pragma GCC diagnostic pop
#  endif
#  undef STBI_NO_STDIO
#  undef STBI_NO_SIMD
#  undef STBI_NO_HDR
#  undef STBI_NO_LINEAR
#  undef STBI_NO_PSD
#  undef STBI_NO_PIC
#  undef STBI_NO_GIF
#  undef STBI_NO_BMP
#  undef STBI_NO_TGA
#  undef STBI_NO_PNM
#  undef STBI_NO_JPEG
#  undef STBI_NO_PNG
#  undef STBI_NO_FAILURE_STRINGS
#  undef STBI_ASSERT
#  undef STBI_MALLOC
#  undef STBI_REALLOC
#  undef STBI_FREE
#  undef STBI_REALLOC_SIZED
#  undef STBI_MAX_DIMENSIONS
#  undef STBI_VERSION
#  pragma pop_macro("STBIDEF")
#  pragma pop_macro("STB_IMAGE_STATIC")
#  pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#  pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Decodes a JPEG or PNG that has been checked.
PALI_INLINE image decode_stb(const source& from, const char* format) {
    if (from.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
        refuse(errc::image_too_large, from, "the file is larger than 2 GiB");
    int width = 0, height = 0, channels = 0;
    const int size = static_cast<int>(from.size());
    if (stb::stbi_info_from_memory(from.data(), size, &width, &height, &channels) == 0)
        damaged(from, format, "its header is invalid or of an unsupported kind");
    check_size(from, static_cast<std::size_t>(width), static_cast<std::size_t>(std::abs(height)));
    const std::unique_ptr<unsigned char, void (*)(void*)> pixels(
        stb::stbi_load_from_memory(from.data(), size, &width, &height, &channels, 3), [](void* p) { std::free(p); });
    if (pixels == nullptr || width <= 0 || height <= 0) damaged(from, format, "its data is invalid or of an unsupported kind");
    image made(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    std::memcpy(made.pixels.data(), pixels.get(), made.pixels.size());
    return made;
}

}}} // namespace pali::PALI_ABI::image_detail

#endif
