// PaliGemma 2 28B: compiled here, and nowhere else in the program.
#include "runner.hpp"

opener find_paligemma2_28b(std::string_view variant) { return find_among<pali::paligemma2_28b_224, pali::paligemma2_28b_448, pali::paligemma2_28b_896>(variant); }
