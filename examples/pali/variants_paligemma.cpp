// Instantiates PaliGemma 3B: the only source of the program that compiles it.
#include "runner.hpp"

opener find_paligemma(std::string_view variant) {
    return find_among<pali::paligemma_3b_224, pali::paligemma_3b_448, pali::paligemma_3b_896>(variant);
}
