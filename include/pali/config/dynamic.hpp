// Configuration whose sizes are read from config.json at run time.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/config/config_fields.hpp>

#include <cstddef>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// A vision tower of any size.
struct dynamic_vision {
    /// @{
    /// See vision_config.
    std::size_t image_size = 0, patch_size = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0;
    float norm_eps = 1e-6f;
    /// @}
};

/// A model of any size: satisfies `model_config` with ordinary members. Reading a member costs a load, where a compiled type has a
/// constant.
struct dynamic {
    dynamic_vision vision; ///< the vision tower
    /// @{
    /// See decoder_config.
    std::size_t vocab = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0;
    float query_pre_attn_scalar = 0, attention_softcap = 0, final_softcap = 0, rope_theta = 0, norm_eps = 0;
    bool post_norms = false;
    /// @}
    std::vector<std::size_t> windows; ///< sliding window of each layer in tokens; 0: none

    /// Sliding window of a layer in tokens; 0: none.
    [[nodiscard]] std::size_t window(std::size_t layer) const noexcept { return windows[layer]; }
};
static_assert(model_config<dynamic>);

namespace config_detail {

/// Copies the sizes of any configuration into a `dynamic`.
template <model_config Config>
[[nodiscard]] dynamic sizes_of(const Config& config) {
    dynamic out;
    config_fields::visit_vision(config_fields::copy, out.vision, config.vision);
    config_fields::visit_decoder(config_fields::copy, out, config);
    out.windows.resize(out.layers);
    for (std::size_t layer = 0; layer < out.layers; ++layer) out.windows[layer] = config.window(layer);
    return out;
}

} // namespace config_detail

}} // namespace pali::PALI_ABI
