// The second source; see odr_first.cpp.
#include <pali/pali.hpp>

#include <cstddef>

std::size_t seen_by_second();
std::size_t seen_by_second() { return sizeof(pali::matrix) * 31 + sizeof(pali::dynamic) * 7 + sizeof(pali::model<pali::dynamic>); }
