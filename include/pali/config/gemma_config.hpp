// Gemma and Gemma 2 decoders of the released PaliGemma models.
#pragma once

#include <pali/config/concepts.hpp>

namespace pali { inline namespace PALI_ABI {

/// Common to Gemma 1 decoders: pre-norms only, no softcaps, no sliding windows. arXiv 2403.08295.
struct gemma_family {
    static constexpr std::size_t vocab = 257216;   ///< 256000 + 1024 `<loc>` + 128 `<seg>` + `<image>`, padded to a multiple of 64
    static constexpr std::size_t positions = 8192; ///< maximum sequence length in tokens: max_position_embeddings
    /// @{
    /// See decoder_config; values of transformers GemmaConfig.
    static constexpr float attention_softcap = 0, final_softcap = 0, rope_theta = 10000, norm_eps = 1e-6f;
    /// @}
    static constexpr bool post_norms = false; ///< no norms after attention and MLP
    /// 0: no layer has a sliding window.
    [[nodiscard]] static constexpr std::size_t window(std::size_t) noexcept { return 0; }
};

/// Common to Gemma 2 decoders: post-norms, softcaps, and a sliding window on even layers. arXiv 2408.00118, section 2.
struct gemma2_family {
    static constexpr std::size_t vocab = 257216;        ///< as in gemma_family
    static constexpr std::size_t positions = 8192;      ///< as in gemma_family
    static constexpr std::size_t sliding_window = 4096; ///< tokens, on even layers
    /// @{
    /// See decoder_config; values of transformers Gemma2Config.
    static constexpr float attention_softcap = 50, final_softcap = 30, rope_theta = 10000, norm_eps = 1e-6f;
    /// @}
    static constexpr bool post_norms = true; ///< norms after attention and MLP
    /// Sliding window of a layer in tokens; 0: none.
    [[nodiscard]] static constexpr std::size_t window(std::size_t layer) noexcept { return layer % 2 == 0 ? sliding_window : 0; }
};

/// The Gemma 2B decoder.
struct gemma_2b : gemma_family {
    /// @{
    /// big_vision models/ppp/gemma.py get_config("gemma_2b").
    static constexpr std::size_t hidden = 2048, layers = 18, intermediate = 16384, heads = 8, kv_heads = 1, head_dim = 256;
    /// @}
    static constexpr float query_pre_attn_scalar = 256; ///< equals head_dim
};

/// The Gemma 2 2B decoder.
struct gemma2_2b : gemma2_family {
    /// @{
    /// big_vision models/ppp/gemma.py get_config("gemma2_2b").
    static constexpr std::size_t hidden = 2304, layers = 26, intermediate = 9216, heads = 8, kv_heads = 4, head_dim = 256;
    /// @}
    static constexpr float query_pre_attn_scalar = 256; ///< equals head_dim
};

/// The Gemma 2 9B decoder.
struct gemma2_9b : gemma2_family {
    /// @{
    /// big_vision models/ppp/gemma.py get_config("gemma2_9b").
    static constexpr std::size_t hidden = 3584, layers = 42, intermediate = 14336, heads = 16, kv_heads = 8, head_dim = 256;
    /// @}
    static constexpr float query_pre_attn_scalar = 256; ///< equals head_dim
};

/// The Gemma 2 27B decoder.
struct gemma2_27b : gemma2_family {
    /// @{
    /// big_vision models/ppp/gemma.py get_config("gemma2_27b").
    static constexpr std::size_t hidden = 4608, layers = 46, intermediate = 36864, heads = 32, kv_heads = 16, head_dim = 128;
    /// @}
    static constexpr float query_pre_attn_scalar = 144; ///< hidden / heads, not head_dim
};

static_assert(decoder_config<gemma_2b> && decoder_config<gemma2_2b> && decoder_config<gemma2_9b> && decoder_config<gemma2_27b>);

}} // namespace pali::PALI_ABI
