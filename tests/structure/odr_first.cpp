// One of two sources that include the whole library with its bodies. There must be no duplicate symbols, and both must see the same types.
#include <pali/pali.hpp>

#include <cstddef>
#include <cstdio>

std::size_t seen_by_second();

namespace {

/// A value that both sources must agree on.
std::size_t seen() { return sizeof(pali::matrix) * 31 + sizeof(pali::dynamic) * 7 + sizeof(pali::model<pali::dynamic>); }

} // namespace

int main() {
    if (seen() == seen_by_second()) return 0;
    std::fputs("two sources of one program disagree on the size of a type\n", stderr);
    return 1;
}
