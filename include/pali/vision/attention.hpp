// Self-attention of the vision tower: every patch sees every patch.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/kernels/attention.hpp>
#include <pali/layers/linear.hpp>

#include <cmath>
#include <cstddef>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Multi-head attention with biases, not masked. Dosovitskiy et al., arXiv 2010.11929; transformers SiglipAttention.
template <vision_config Config, weight_storage Storage>
struct siglip_attention {
    linear<Storage> query, key, value, output; ///< (D, D) and a bias (D) each
    std::size_t heads = 0; ///< D % heads == 0

    /// x (P, D) -> (P, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        const std::size_t head_dim = x.shape(1) / heads;
        const auto q = query(x, at);
        const auto keys = by_head(key(x, at), at), values = by_head(value(x, at), at);
        auto mixed = at.take(x.shape(0), x.shape(1));
        const kernels::attention_shape shape{.heads = heads, .kv_heads = heads, .head_dim = head_dim, .scale = 1.f / std::sqrt(static_cast<float>(head_dim))};
        kernels::attention(arch::native, shape, rows_of(q), keys, values, kernels::all_keys{x.shape(0)}, rows_of(mixed), at.threads, at.scratch);
        return output(mixed, at);
    }

    /// Names of a layer, below "self_attn.".
    void bind(const binder::scope& names, const Config& config) {
        heads = config.heads;
        query.bind(names["q_proj"], config.hidden, config.hidden, true);
        key.bind(names["k_proj"], config.hidden, config.hidden, true);
        value.bind(names["v_proj"], config.hidden, config.hidden, true);
        output.bind(names["out_proj"], config.hidden, config.hidden, true);
    }

private:
    /// (P, heads · head_dim) -> (heads, P, padded head_dim), zero-padded.
    [[nodiscard]] kernels::head_view<float> by_head(const matrix_view& x, context& at) const {
        const std::size_t patches = x.shape(0), head_dim = x.shape(1) / heads, depth = kernels::padded_head_dim<float>(head_dim);
        float* const to = at.scratch.take(heads * patches * depth);
        at.threads.run(heads, [&](std::size_t head) {
            for (std::size_t p = 0; p < patches; ++p) {
                const float* const from = x.data() + p * x.shape(1) + head * head_dim;
                float* const row = to + (head * patches + p) * depth;
                std::fill(std::copy(from, from + head_dim, row), row + depth, 0.f);
            }
        });
        return {.data = to, .token_stride = depth, .head_stride = patches * depth};
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
