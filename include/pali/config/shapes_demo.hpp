// The embedded demonstration model: a tiny PaliGemma 2 that names coloured shapes.
#pragma once

#include <pali/config/released.hpp>

namespace pali { inline namespace PALI_ABI {

/// Four narrow layers over a vocabulary of its own. Sizes: config.json of the model.
struct shapes_decoder : gemma2_family {
    static constexpr std::size_t vocab = 1536, hidden = 192, layers = 4, intermediate = 576, heads = 4, kv_heads = 2,
                                 head_dim = 48;        ///< see decoder_config
    static constexpr float query_pre_attn_scalar = 48; ///< head_dim
};

/// Images of 112 px, 64 patches. Trained by tools/shapes.
struct shapes_vision {
    static constexpr std::size_t image_size = 112, patch_size = 14, hidden = 160, layers = 5, intermediate = 480,
                                 heads = 4;  ///< see vision_config
    static constexpr float norm_eps = 1e-6f; ///< see vision_config
};

/// Tower and decoder together; 64 image tokens.
struct shapes : paligemma2<shapes_decoder, shapes_vision> {};
static_assert(model_config<shapes>);

}} // namespace pali::PALI_ABI
