// Detects whether stb_truetype is available for drawing text.
#pragma once

#ifndef PALI_WITH_STB_TRUETYPE
#  if __has_include(<stb/stb_truetype.h>) || __has_include(<stb_truetype.h>)
#    define PALI_WITH_STB_TRUETYPE 1
#  else
#    define PALI_WITH_STB_TRUETYPE 0
#  endif
#endif
