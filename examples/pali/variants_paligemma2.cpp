// Instantiates PaliGemma 2 and the embedded model: the only source of the program that compiles them.
#include "runner.hpp"

opener find_paligemma2(std::string_view variant) {
    return find_among<pali::paligemma2_3b_224, pali::paligemma2_3b_448, pali::paligemma2_3b_896, pali::paligemma2_10b_224,
                      pali::paligemma2_10b_448, pali::paligemma2_10b_896, pali::paligemma2_28b_224, pali::paligemma2_28b_448,
                      pali::paligemma2_28b_896, pali::shapes>(variant);
}
