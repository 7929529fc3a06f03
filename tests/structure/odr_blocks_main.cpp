// Layers in one program of two sources with different flags, for any x86-64 and with -mavx2 -mfma. Each computes the right numbers;
// tools/check_flags.py checks that they share no function with vector code.
#include "odr_blocks.hpp"

#include <cstdio>

namespace {

int faults = 0;

void check(const std::vector<float>& found, const std::vector<float>& expected, const char* what) {
    if (found == expected) return;
    std::fprintf(stderr, "%s\n", what);
    ++faults;
}

void check(const block_answers& a) {
    check(a.vision_layer, std::vector<float>(32, 6.f), "vision layer: 1 + 2 + 3 expected");
    check(a.decoder_layer, std::vector<float>(32, 1.f), "decoder layer: 1 + 0 + 0 expected");
    check(a.embedding, std::vector<float>(16, 4.f), "embedding: 1 times the square root of 16 expected");
    std::vector<float> patches;
    for (const float corner : {0.f, 2.f, 10.f, 12.f})
        for (const float channel : {0.f, 25.f, 50.f})
            for (const float pixel : {0.f, 1.f, 5.f, 6.f}) patches.push_back(corner + channel + pixel);
    check(a.patches, patches, "patches: (row, column, channel, y, x) expected");
}

} // namespace

int main() {
    pali::core::context ctx(1);
    check(plain_blocks(ctx));
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) check(avx2_blocks(ctx));
    std::printf("%d faults\n", faults);
    return faults == 0 ? 0 : 1;
}
