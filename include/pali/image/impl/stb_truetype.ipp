// Glyph rasterizer, through stb_truetype, which is compiled into a namespace of pali. Its assertions throw, and its allocations are freed
// together.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/image/impl/letters.hpp>

#include <cstddef>
#include <memory>
#include <vector>

// The headers that stb includes. They are included here, because stb itself is included inside a namespace.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if PALI_WITH_STB_TRUETYPE

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Thrown for an inconsistent font; caught by the class typeface.
struct broken_font {};

[[noreturn]] inline void throw_broken_font() { throw broken_font(); }

/// Arena for the allocations of stb_truetype for one glyph.
class letter_memory {
public:
    [[nodiscard]] void* take(std::size_t bytes) {
        if (bytes > most) throw_broken_font();
        m_taken.push_back(std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 1));
        return m_taken.back().get();
    }

private:
    static constexpr std::size_t most = std::size_t{1} << 26; // limit per allocation; a glyph of 4000 pixels needs a few megabytes
    std::vector<std::unique_ptr<std::max_align_t[]>> m_taken;
};

}}} // namespace pali::PALI_ABI::image_detail

#  pragma push_macro("STB_TRUETYPE_IMPLEMENTATION")
#  pragma push_macro("STBTT_STATIC")
#  pragma push_macro("STBTT_DEF")
#  pragma push_macro("STB_RECT_PACK_VERSION")
#  pragma push_macro("__STB_INCLUDE_STB_TRUETYPE_H__")
#  undef STBTT_DEF
#  undef STB_RECT_PACK_VERSION
#  undef __STB_INCLUDE_STB_TRUETYPE_H__
#  define STB_TRUETYPE_IMPLEMENTATION
#  define STBTT_STATIC
#  define STBTT_assert(condition) ((condition) ? (void)0 : throw_broken_font())
#  define STBTT_malloc(bytes, memory) (static_cast<letter_memory*>(memory)->take(static_cast<std::size_t>(bytes)))
#  define STBTT_free(data, memory) ((void)(data), (void)(memory))
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
namespace pali { inline namespace PALI_ABI { namespace image_detail { namespace stb_truetype {
#  if __has_include(<stb/stb_truetype.h>)
#    include <stb/stb_truetype.h>
#  else
#    include <stb_truetype.h>
#  endif
}}}} // namespace pali::PALI_ABI::image_detail::stb_truetype
#  if defined(__GNUC__)
#    pragma GCC diagnostic pop
#  endif
#  undef STBTT_assert
#  undef STBTT_malloc
#  undef STBTT_free
#  undef STBTT_ifloor
#  undef STBTT_iceil
#  undef STBTT_sqrt
#  undef STBTT_pow
#  undef STBTT_fmod
#  undef STBTT_cos
#  undef STBTT_acos
#  undef STBTT_fabs
#  undef STBTT_strlen
#  undef STBTT_memcpy
#  undef STBTT_memset
#  undef STBTT_min
#  undef STBTT_max
#  undef STBTT_FIX
#  undef STBTT_FIXMASK
#  undef STBTT_FIXSHIFT
#  undef STBTT_GPOS_TODO_assert
#  undef STBTT_MACSTYLE_BOLD
#  undef STBTT_MACSTYLE_DONTCARE
#  undef STBTT_MACSTYLE_ITALIC
#  undef STBTT_MACSTYLE_NONE
#  undef STBTT_MACSTYLE_UNDERSCORE
#  undef STBTT_MAX_OVERSAMPLE
#  undef STBTT_POINT_SIZE
#  undef STBTT_RASTERIZER_VERSION
#  undef STBTT__COMPARE
#  undef STBTT__CSCTX_INIT
#  undef STBTT__CSERR
#  undef STBTT__NOTUSED
#  undef STBTT__OVER_MASK
#  undef stbtt_vertex_type
#  undef stbtt__buf_get16
#  undef stbtt__buf_get32
#  undef stbtt_tag
#  undef stbtt_tag4
#  undef ttBYTE
#  undef ttCHAR
#  undef ttFixed
#  pragma pop_macro("__STB_INCLUDE_STB_TRUETYPE_H__")
#  pragma pop_macro("STB_RECT_PACK_VERSION")
#  pragma pop_macro("STBTT_DEF")
#  pragma pop_macro("STBTT_STATIC")
#  pragma pop_macro("STB_TRUETYPE_IMPLEMENTATION")

#endif
