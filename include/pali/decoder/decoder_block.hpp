// A decoder layer: attention and gated MLP, each with its norms.
#pragma once

#include <pali/decoder/decoder_attention.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/layers/norm_layer.hpp>
#include <pali/layers/residual.hpp>

#include <cstddef>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// The gated MLP (GeGLU): down(gelu(gate(x)) · up(x)). Shazeer, arXiv 2002.05202.
template <decoder_config Config, weight_storage Storage>
struct gated_mlp {
    linear<Storage> gate; ///< (intermediate, D), no bias
    linear<Storage> up;   ///< (intermediate, D), no bias
    linear<Storage> down; ///< (D, intermediate), no bias

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(matrix_view x, context& ctx) const {
        matrix_view y = ctx.take(x.shape(0), x.shape(1));
        // Long sequences are split: the outputs of gate and up are far wider than x and would dominate the memory of a prefill.
        for (std::size_t parts = (x.shape(0) + most_tokens - 1) / most_tokens, part = 0; part < parts; ++part) {
            const arena::frame frame(ctx.scratch);
            const std::size_t first = part * x.shape(0) / parts, n = (part + 1) * x.shape(0) / parts - first;
            auto [gated, up_values] = linear<Storage>::each(slice(x, first, n), ctx, gate, up);
            ctx.threads.run_blocks(gated.size(), kernels::elements_a_task, [&](std::size_t i, std::size_t count) {
                kernels::active().gated_gelu(gated.data() + i, up_values.data() + i, count);
            });
            down(gated, rows_of(y).slice(first, n), ctx);
        }
        return y;
    }

    /// Maximum number of tokens per part. In a 3B model, the outputs of gate and up then take 76 MB. Each part reads the MLP's weights
    /// again (127 MB in bf16). That takes little time compared to the part's arithmetic, about a second.
    static constexpr std::size_t most_tokens = 1024;

    /// Binds the MLP's tensors, whose names begin with `mlp.`.
    template <tensor_visitor V>
    void bind(const V& names, const Config& config) {
        gate.bind(names["gate_proj"], config.intermediate, config.hidden, false);
        up.bind(names["up_proj"], config.intermediate, config.hidden, false);
        down.bind(names["down_proj"], config.hidden, config.intermediate, false);
    }
};

/// Gemma 1: x += attn(pre(x)); x += mlp(pre(x)). Gemma 2: x += post(attn(pre(x))); x += post(mlp(pre(x))).
template <decoder_config Config, weight_storage Storage>
struct gemma_block {
    [[no_unique_address]] Config config;        ///< configuration of the whole decoder
    rms_norm input_norm;                        ///< (D), before attention
    rms_norm post_attention_norm;               ///< (D), after attention; Gemma 2 only
    rms_norm pre_mlp_norm;                      ///< (D), before the MLP
    rms_norm post_mlp_norm;                     ///< (D), after the MLP; Gemma 2 only
    gemma_attention<Config, Storage> attention; ///< first half of the layer
    gated_mlp<Config, Storage> mlp;             ///< second half of the layer

    /// Transforms x (T, D) in place. Stores keys and values in the KV caches of `sequences`. The caller, `gemma`, advances the caches'
    /// length.
    void operator()(matrix_view& x, std::span<const sequence> sequences, const kernels::rope_table& rope, context& ctx) const {
        {
            const arena::frame frame(ctx.scratch);
            const auto attended = attention(input_norm(x, ctx), sequences, rope, ctx);
            add(x, config.post_norms ? post_attention_norm(attended, ctx) : attended);
        }
        const arena::frame frame(ctx.scratch);
        const auto transformed = mlp(pre_mlp_norm(x, ctx), ctx);
        add(x, config.post_norms ? post_mlp_norm(transformed, ctx) : transformed);
    }

    /// Binds the tensors of layer `index`, whose names begin with `layers.<index>.`.
    template <tensor_visitor V>
    void bind(const V& names, std::size_t index) {
        input_norm.bind(names["input_layernorm"], config.hidden, config.norm_eps);
        attention.bind(names["self_attn"], config, index);
        if (config.post_norms) {
            post_attention_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps);
            pre_mlp_norm.bind(names["pre_feedforward_layernorm"], config.hidden, config.norm_eps);
            post_mlp_norm.bind(names["post_feedforward_layernorm"], config.hidden, config.norm_eps);
        } else {
            pre_mlp_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps); // Gemma 1's name for this norm
        }
        mlp.bind(names["mlp"], config);
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
