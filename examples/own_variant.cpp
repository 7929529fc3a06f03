// own_variant: defines a model variant as a type, here the variant of the embedded model, assembled from its parts. usage: own_variant
// MODEL_FOLDER IMAGE [PROMPT]
#include <pali/pali.hpp>

#include <iostream>

/// Vision tower for 112 px: every constant that the concept `pali::vision_config` requires.
struct small_tower {
    static constexpr std::size_t image_size = 112, patch_size = 14, hidden = 160, layers = 5, intermediate = 480, heads = 4;
    static constexpr float norm_eps = 1e-6f;
};

/// Gemma 2 with a hidden size of 192. Everything else (softcaps, RoPE, sliding window on even layers) comes from the family.
struct small_gemma : pali::gemma2_family {
    static constexpr std::size_t vocab = 1536, hidden = 192, layers = 4, intermediate = 576, heads = 4, kv_heads = 2, head_dim = 48;
    static constexpr float query_pre_attn_scalar = 48;
};

struct small_model : pali::paligemma2<small_gemma, small_tower> {};

static_assert(pali::model_config<small_model>); // reports what is missing in one line instead of a page of template errors

int main(int argc, char** argv) try {
    if (argc < 3) {
        std::cerr << "usage: own_variant MODEL_FOLDER IMAGE [PROMPT]\nMODEL_FOLDER: examples/models/shapes. Any other is refused, with "
                     "every difference.\n";
        return 2;
    }
    pali::model<small_model, pali::f32> model{argv[1]};
    const pali::image photo = pali::read_image(argv[2]);
    std::cout << model.generate(photo, argc > 3 ? argv[3] : "caption en").text << '\n';
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
