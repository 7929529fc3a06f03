// PaliGemma 2 10B: compiled here, and nowhere else in the program.
#include "runner.hpp"

opener find_paligemma2_10b(std::string_view variant) { return find_among<pali::paligemma2_10b_224, pali::paligemma2_10b_448, pali::paligemma2_10b_896>(variant); }
