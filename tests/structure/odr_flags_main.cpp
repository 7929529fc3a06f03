// Links objects with different flags into one program: baseline x86-64 and -mavx2 -mfma, with and without NDEBUG. Each object must compute
// correct results, and none may run functions of another. The linker keeps one copy of each symbol, so symbols must differ where flags
// change the code.
#include "odr_flags.hpp"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

int faults = 0;

void check(bool holds, const std::string& what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what.c_str());
    ++faults;
}

void check_numbers(const answers& a) {
    const std::string flags = a.flags;
    for (std::size_t i = 0; i < 4; ++i)
        check(a.product[i] == 820.f * static_cast<float>(i + 1), flags + ": product: " + std::to_string(a.product[i]));
    for (const float y : a.norm) check(std::abs(y - 1.f) < 1e-6f, flags + ": norm: " + std::to_string(y));
    check(std::abs(a.log_sum - std::log(40.0)) < 1e-6, flags + ": log of the sum: " + std::to_string(a.log_sum));
    check(a.top == 33, flags + ": largest: " + std::to_string(a.top));
    check(a.pixel == 50, flags + ": pixel: " + std::to_string(a.pixel));
}

} // namespace

int main() {
    std::vector<answers> all{plain_checked(), plain()};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        all.push_back(avx2_checked());
        all.push_back(avx2());
    }
#endif
    for (const answers& a : all) check_numbers(a);
    for (const answers& a : all)
        for (const answers& b : all) {
            if (&a <= &b) continue;
            const std::string both = std::string(a.flags) + " and " + b.flags;
            check(a.functions[0] != b.functions[0], both + " share a kernel");
            check(a.functions[1] != b.functions[1], both + " share a function that calls kernels");
            const bool same_checks =
                (std::string(a.flags).find("checked") != std::string::npos) == (std::string(b.flags).find("checked") != std::string::npos);
            check((a.functions[2] == b.functions[2]) == same_checks,
                  both + (same_checks ? " do not share" : " share") + " what depends on NDEBUG alone");
        }
    std::printf("%zu sources with different flags, %d faults\n", all.size(), faults);
    return faults == 0 ? 0 : 1;
}
