// PaliGemma 3B: compiled here, and nowhere else in the program.
#include "runner.hpp"

opener find_paligemma(std::string_view variant) {
    return find_among<pali::paligemma_3b_224, pali::paligemma_3b_448, pali::paligemma_3b_896>(variant);
}
