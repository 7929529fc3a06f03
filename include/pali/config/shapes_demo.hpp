// Configuration of the embedded demonstration model: a tiny PaliGemma 2 that names colored shapes.
#pragma once

#include <pali/config/paligemma_config.hpp>

namespace pali { inline namespace PALI_ABI {

/// Four narrow layers with a small vocabulary. Sizes as in the model's config.json.
struct shapes_decoder : gemma2_family {
    /// @{
    /// See decoder_config.
    static constexpr std::size_t vocab = 1536, hidden = 192, layers = 4, intermediate = 576, heads = 4, kv_heads = 2, head_dim = 48;
    /// @}
    static constexpr float query_pre_attn_scalar = 48; ///< equals head_dim
};

/// Images of 112 px, 64 patches. Trained by tools/shapes.
struct shapes_vision {
    /// @{
    /// See vision_config.
    static constexpr std::size_t image_size = 112, patch_size = 14, hidden = 160, layers = 5, intermediate = 480, heads = 4;
    static constexpr float norm_eps = 1e-6f;
    /// @}
};

/// Vision tower and decoder together; 64 image tokens.
struct shapes : paligemma2<shapes_decoder, shapes_vision> {};
static_assert(model_config<shapes>);

}} // namespace pali::PALI_ABI
