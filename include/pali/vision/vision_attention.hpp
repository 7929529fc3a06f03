// Self-attention of the vision tower: every patch attends to every patch.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/config/concepts.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/layers/linear.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Multi-head attention with biases and without a mask. Dosovitskiy et al., arXiv 2010.11929; transformers SiglipAttention.
template <vision_config Config, weight_storage Storage>
struct siglip_attention {
    linear<Storage> query;  ///< (D, D), bias (D)
    linear<Storage> key;    ///< (D, D), bias (D)
    linear<Storage> value;  ///< (D, D), bias (D)
    linear<Storage> output; ///< (D, D), bias (D)
    std::size_t heads = 0;  ///< D % heads == 0

    /// x (P, D) -> (P, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const {
        const auto [q, k, v] = linear<Storage>::each(x, ctx, query, key, value);
        auto mixed = ctx.take(x.shape(0), x.shape(1));
        // Attention rounds its operands to bfloat16 if and only if the linear layers do.
        const arch::features& extensions = kernels::active().usable();
        if (std::same_as<Storage, bf16> && (extensions.avx512_bf16 || extensions.amx_bf16)) mix<bfloat16>(q, k, v, mixed, ctx);
        else mix<float>(q, k, v, mixed, ctx);
        return output(mixed, ctx);
    }

    /// Binds the tensors of a layer, below "self_attn.".
    template <tensor_visitor V>
    void bind(const V& names, const Config& config) {
        heads = config.heads;
        query.bind(names["q_proj"], config.hidden, config.hidden, true);
        key.bind(names["k_proj"], config.hidden, config.hidden, true);
        value.bind(names["v_proj"], config.hidden, config.hidden, true);
        output.bind(names["out_proj"], config.hidden, config.hidden, true);
    }

private:
    /// q, k, v and mixed are (P, heads · head_dim). Copies keys and values head by head, converted to `Element`.
    template <class Element>
    void mix(const matrix_view& q, const matrix_view& k, const matrix_view& v, matrix_view& mixed, context& ctx) const {
        using key_values = kernels::key_values<Element>;
        const std::size_t patches = q.shape(0), head_dim = q.shape(1) / heads, elements = key_values::elements(heads, patches, head_dim);
        const key_values seen{reinterpret_cast<Element*>(ctx.scratch.take(elements * sizeof(Element) / sizeof(float))), patches, head_dim};
        ctx.threads.run(heads, [&](std::size_t head) {
            for (std::size_t p = 0; p < patches; ++p) {
                const std::size_t first = p * q.shape(1) + head * head_dim;
                seen.put(head, p, {k.data() + first, head_dim}, {v.data() + first, head_dim});
            }
        });
        const kernels::attention_shape shape{
            .heads = heads, .kv_heads = heads, .head_dim = head_dim, .scale = 1.f / std::sqrt(static_cast<float>(head_dim))};
        kernels::active().attend(shape, rows_of(q), seen, kernels::prefix_mask{.prefix = patches}, rows_of(mixed), ctx.kind, ctx.threads,
                                 ctx.scratch);
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
