// The model whose sizes are read when the program runs: compiled here, and nowhere else in the program.
#include "runner.hpp"

opener find_dynamic(std::string_view variant) { return find_among<pali::dynamic>(variant); }
