// Image libraries of this build: defined by the build system, otherwise detected by __has_include.
#pragma once

#ifndef PALI_WITH_JPEG
#  if __has_include(<jpeglib.h>)
#    define PALI_WITH_JPEG 1
#  else
#    define PALI_WITH_JPEG 0
#  endif
#endif
#ifndef PALI_WITH_PNG
#  if __has_include(<png.h>)
#    define PALI_WITH_PNG 1
#  else
#    define PALI_WITH_PNG 0
#  endif
#endif
#ifndef PALI_WITH_WEBP
#  if __has_include(<webp/decode.h>)
#    define PALI_WITH_WEBP 1
#  else
#    define PALI_WITH_WEBP 0
#  endif
#endif
#ifndef PALI_WITH_HEIF
#  if __has_include(<libheif/heif.h>)
#    define PALI_WITH_HEIF 1
#  else
#    define PALI_WITH_HEIF 0
#  endif
#endif
#ifndef PALI_WITH_TIFF
#  if __has_include(<tiffvers.h>)
#    include <tiffvers.h>
#  endif
#  if defined(TIFFLIB_VERSION) && TIFFLIB_VERSION >= 20221213 // 4.5: error handlers per file instead of per process
#    define PALI_WITH_TIFF 1
#  else
#    define PALI_WITH_TIFF 0
#  endif
#endif
#ifndef PALI_WITH_STB
#  if __has_include(<stb/stb_image.h>) || __has_include(<stb_image.h>)
#    define PALI_WITH_STB 1
#  else
#    define PALI_WITH_STB 0
#  endif
#endif
