// A configuration whose numbers are read from config.json when the program runs.
#pragma once

#include <pali/config/concepts.hpp>

#include <vector>

namespace pali::inline PALI_ABI {

/// A vision tower of any size.
struct dynamic_vision {
    std::size_t image_size = 0, patch_size = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0; ///< see vision_config
    float norm_eps = 1e-6f; ///< see vision_config
};

/// A model of any size: satisfies `model_config` with ordinary members. What it says costs a load where a type knows a literal.
struct dynamic {
    dynamic_vision vision; ///< the tower
    std::size_t vocab = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0; ///< see decoder_config
    float query_pre_attn_scalar = 0, attention_softcap = 0, final_softcap = 0, rope_theta = 0, norm_eps = 0; ///< see decoder_config
    bool post_norms = false;          ///< see decoder_config
    std::vector<std::size_t> windows; ///< one for each layer, tokens; 0: none

    /// The sliding window of a layer, tokens; 0: none.
    [[nodiscard]] std::size_t window(std::size_t layer) const noexcept { return windows[layer]; }
};
static_assert(model_config<dynamic>);

} // namespace pali::inline PALI_ABI
