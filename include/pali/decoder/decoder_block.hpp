// One layer of the decoder.
#pragma once

#include <pali/decoder/decoder_attention.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/layers/norm_layer.hpp>

#include <cstddef>
#include <span>

namespace pali { inline namespace PALI_ABI { inline namespace PALI_SIMD {

/// down(gelu(gate(x)) · up(x)): GeGLU, Shazeer, arXiv 2002.05202.
template <decoder_config Config, weight_storage Storage>
struct gated_mlp {
    linear<Storage> gate, up, down; ///< gate and up (intermediate, D), down (D, intermediate); no biases

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(matrix_view x, context& ctx) const {
        matrix_view y = ctx.take(x.shape(0), x.shape(1));
        // Long sequences in parts: gate and up are four times as wide as x, and would be most of the memory of a prefill.
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

    static constexpr std::size_t most_tokens =
        1024; ///< at once: of the 3B 76 MB, while its weights, read anew, are 127 MB of a second's work

    /// Names of a layer, below "mlp.".
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
    [[no_unique_address]] Config config;                                   ///< of the whole decoder
    rms_norm input_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm; ///< (D); those called post are Gemma 2's alone
    gemma_attention<Config, Storage> attention;                            ///< first half
    gated_mlp<Config, Storage> mlp;                                        ///< second half

    /// x (T, D) in place; the caches of `sequences` grow by their rows.
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

    /// Names of layer `index`, below "layers.<index>.".
    template <tensor_visitor V>
    void bind(const V& names, std::size_t index) {
        input_norm.bind(names["input_layernorm"], config.hidden, config.norm_eps);
        attention.bind(names["self_attn"], config, index);
        if (config.post_norms) {
            post_attention_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps);
            pre_mlp_norm.bind(names["pre_feedforward_layernorm"], config.hidden, config.norm_eps);
            post_mlp_norm.bind(names["post_feedforward_layernorm"], config.hidden, config.norm_eps);
        } else {
            pre_mlp_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps); // Gemma 1's name for it
        }
        mlp.bind(names["mlp"], config);
    }
};

}}} // namespace pali::PALI_ABI::PALI_SIMD
