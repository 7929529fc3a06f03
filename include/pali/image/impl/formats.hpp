// Which libraries this build reads pictures with: the build says so, or else the headers that are there do.
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
#ifndef PALI_WITH_STB
#  if __has_include(<stb/stb_image.h>) || __has_include(<stb_image.h>)
#    define PALI_WITH_STB 1
#  else
#    define PALI_WITH_STB 0
#  endif
#endif
