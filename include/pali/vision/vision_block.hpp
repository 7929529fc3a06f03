// A layer of the vision tower: attention and MLP, each with its norm.
#pragma once

#include <pali/kernels/entry_points.hpp>
#include <pali/layers/norm_layer.hpp>
#include <pali/layers/residual.hpp>
#include <pali/vision/vision_attention.hpp>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Two linear maps with the tanh approximation of GELU between them.
template <vision_config Config, weight_storage Storage>
struct siglip_mlp {
    linear<Storage> up;   ///< (intermediate, D), with bias
    linear<Storage> down; ///< (D, intermediate), with bias

    /// x (P, D) -> (P, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const {
        auto hidden = up(x, ctx);
        ctx.threads.run_blocks(hidden.size(), kernels::elements_a_task,
                               [&](std::size_t i, std::size_t n) { kernels::active().gelu(hidden.data() + i, n); });
        return down(hidden, ctx);
    }

    /// Binds the tensors of a layer, below "mlp.".
    template <tensor_visitor V>
    void bind(const V& names, const Config& config) {
        up.bind(names["fc1"], config.intermediate, config.hidden, true);
        down.bind(names["fc2"], config.hidden, config.intermediate, true);
    }
};

/// x += attention(norm(x)); x += mlp(norm(x)). Dosovitskiy et al., arXiv 2010.11929, equations 2 and 3.
template <vision_config Config, weight_storage Storage>
struct siglip_block {
    layer_norm attention_norm;                   ///< (D), before attention
    layer_norm mlp_norm;                         ///< (D), before the MLP
    siglip_attention<Config, Storage> attention; ///< first half of the layer
    siglip_mlp<Config, Storage> mlp;             ///< second half of the layer

    /// x (P, D), in place.
    void operator()(matrix_view& x, context& ctx) const {
        const arena::frame frame(ctx.scratch);
        add(x, attention(attention_norm(x, ctx), ctx));
        add(x, mlp(mlp_norm(x, ctx), ctx));
    }

    /// Binds the tensors of a layer, below "encoder.layers.<index>.".
    template <tensor_visitor V>
    void bind(const V& names, const Config& config) {
        attention_norm.bind(names["layer_norm1"], config.hidden, config.norm_eps);
        attention.bind(names["self_attn"], config);
        mlp_norm.bind(names["layer_norm2"], config.hidden, config.norm_eps);
        mlp.bind(names["mlp"], config);
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
