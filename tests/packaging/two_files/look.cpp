// The program of the route two_files. Prints the answer of model<dynamic>, the answer of a type of this source, the compiled levels, and
// the level in use.
#include "pali.hpp"

#define PALI_OWN_VARIANT // an application's own header may have included pali.hpp without it, as the line above
#include "pali.hpp"

#include <iostream>
#include <utility>

namespace {

struct tower {
    static constexpr std::size_t image_size = 112, patch_size = 14, hidden = 160, layers = 5, intermediate = 480, heads = 4;
    static constexpr float norm_eps = 1e-6f;
};
struct decoder : pali::gemma2_family {
    static constexpr std::size_t vocab = 1536, hidden = 192, layers = 4, intermediate = 576, heads = 4, kv_heads = 2, head_dim = 48;
    static constexpr float query_pre_attn_scalar = 48;
};
struct own : pali::paligemma2<decoder, tower> {};

} // namespace

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    const pali::image photo = pali::read_image(argv[2]);
    std::cout << pali::model<>(argv[1]).caption(photo) << '\n' << pali::model<own>(argv[1]).caption(photo) << '\n';
    const char* between = "";
    for (const pali::arch::compiled_level* one : pali::arch::compiled_levels())
        std::cout << std::exchange(between, " ") << pali::arch::name_of(one->which);
    std::cout << '\n' << pali::model<>::arch() << '\n';
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
