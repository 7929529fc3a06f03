// Whether this build can draw letters: whether stb_truetype is there.
#pragma once

#ifndef PALI_WITH_STB_TRUETYPE
#  if __has_include(<stb/stb_truetype.h>) || __has_include(<stb_truetype.h>)
#    define PALI_WITH_STB_TRUETYPE 1
#  else
#    define PALI_WITH_STB_TRUETYPE 0
#  endif
#endif
