// Self-attention of the decoder: RoPE, grouped queries, and the prefix-LM mask over a KV cache.
#pragma once

#include <pali/decoder/sequence.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/layers/linear.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Gemma's attention, with grouped queries (Ainslie et al., arXiv 2305.13245), and Gemma 2's softcap and window (arXiv 2408.00118, section
/// 2).
template <decoder_config Config, weight_storage Storage>
struct gemma_attention {
    linear<Storage> query;          ///< (heads · head_dim, D), no bias
    linear<Storage> key;            ///< (kv_heads · head_dim, D), no bias
    linear<Storage> value;          ///< (kv_heads · head_dim, D), no bias
    linear<Storage> output;         ///< (D, heads · head_dim), no bias
    kernels::attention_shape shape; ///< heads, scale and softcap
    std::size_t layer = 0;          ///< layer index in the KV caches
    std::size_t window = 0;         ///< sliding window in tokens; 0: none

    /// x (T, D) -> (T, D), in scratch memory. Stores keys and values in the KV caches, after their current length.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, std::span<const sequence> sequences, const kernels::rope_table& rope,
                                         context& ctx) const {
        auto [q, k, v] = linear<Storage>::each(x, ctx, query, key, value);
        auto mixed = ctx.take(q.shape(0), q.shape(1));
        for (const sequence& s : sequences) {
            const std::size_t start = s.cache->length();
            const auto queries = rows_of(q).slice(s.first, s.count);
            remember(s, rows_of(k).slice(s.first, s.count), rows_of(v).slice(s.first, s.count), rope, ctx.threads);
            ctx.threads.run(s.count, [&](std::size_t t) {
                for (std::size_t head = 0; head < shape.heads; ++head)
                    kernels::active().rotate(queries[t] + head * shape.head_dim, rope.at(start + t + first_position));
            });
            const kernels::prefix_mask mask{.prefix = s.cache->prefix(), .window = window, .start = start};
            s.cache->visit(layer, [&](const auto& seen) {
                kernels::active().attend(shape, queries, seen, mask, rows_of(mixed).slice(s.first, s.count), ctx.kind, ctx.threads,
                                         ctx.scratch);
            });
        }
        return output(mixed, ctx);
    }

    /// Binds the tensors of layer `index`, whose names begin with `self_attn.`.
    template <tensor_visitor V>
    void bind(const V& names, const Config& config, std::size_t index) {
        shape = {.heads = config.heads,
                 .kv_heads = config.kv_heads,
                 .head_dim = config.head_dim,
                 .scale = 1.f / std::sqrt(static_cast<float>(config.query_pre_attn_scalar)),
                 .softcap = config.attention_softcap};
        layer = index;
        window = config.window(index);
        query.bind(names["q_proj"], config.heads * config.head_dim, config.hidden, false);
        key.bind(names["k_proj"], config.kv_heads * config.head_dim, config.hidden, false);
        value.bind(names["v_proj"], config.kv_heads * config.head_dim, config.hidden, false);
        output.bind(names["o_proj"], config.hidden, config.heads * config.head_dim, false);
    }

    /// Position of the first token. It is 1, as in transformers modeling_paligemma.py. Up to rounding, RoPE depends on differences of
    /// positions only.
    static constexpr std::size_t first_position = 1;

private:
    void remember(const sequence& s, rows<float> k, rows<float> v, const kernels::rope_table& rope, thread_pool& threads) const {
        constexpr std::size_t tokens_a_task = 16; // one cache line per element of the transposed keys
        threads.run((s.count + tokens_a_task - 1) / tokens_a_task * shape.kv_heads, [&](std::size_t task) {
            const std::size_t first = task / shape.kv_heads * tokens_a_task, head = task % shape.kv_heads, offset = head * shape.head_dim;
            for (std::size_t t = first; t < std::min(s.count, first + tokens_a_task); ++t) {
                const std::size_t position = s.cache->length() + t;
                kernels::active().rotate(k[t] + offset, rope.at(position + first_position));
                s.cache->store(layer, head, position, {k[t] + offset, shape.head_dim}, {v[t] + offset, shape.head_dim});
            }
        });
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
