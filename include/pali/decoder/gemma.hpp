// The decoder: embeddings of image and text in, hidden states and logits out.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/decoder/decoder_block.hpp>
#include <pali/kernels/product/read_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Gemma (arXiv 2403.08295) and Gemma 2 (arXiv 2408.00118).
template <decoder_config Config, weight_storage Storage>
struct gemma {
    [[no_unique_address]] Config config;              ///< see decoder_config
    typename Storage::matrix embedding;               ///< (V, D)
    std::vector<gemma_block<Config, Storage>> layers; ///< first to last
    rms_norm final_norm;                              ///< (D)
    linear<Storage> head;                             ///< (V, D), no bias; empty if the embedding is also the head
    kernels::rope_table rope;                         ///< positions requested through extend()

    /// A decoder without weights; call bind() to set them.
    explicit gemma(const Config& c) : config(c), rope(c.head_dim, c.rope_theta) {
        layers.assign(c.layers, gemma_block<Config, Storage>{c, {}, {}, {}, {}, {}, {}});
    }

    /// Extends the RoPE table to sequences of up to `tokens` tokens. Must be called before a pass, and not during one.
    void extend(std::size_t tokens) { rope.extend(tokens + gemma_attention<Config, Storage>::first_position); }

    /// Writes one embedding row, scaled by sqrt(hidden). Image features are not scaled. Throws errc::invalid_argument for a token outside
    /// the vocabulary.
    void embed(std::int32_t token, float* row) const {
        if (token < 0 || static_cast<std::size_t>(token) >= config.vocab)
            throw error(errc::invalid_argument, {"token ", token, " is outside the vocabulary of ", config.vocab});
        kernels::read_row(embedding, static_cast<std::size_t>(token), row);
        scale(row, std::sqrt(static_cast<float>(config.hidden)));
    }

    /// Transforms x (T, D) in place, from embeddings to the outputs of the last block. Calls `after(layer, x)` after each block, with layer
    /// from 0 to layers - 1. If `after` returns false, stops and returns false; the length of the caches is then unchanged. Throws
    /// errc::capacity_exceeded if a cache is too small.
    template <class After>
    bool operator()(matrix_view& x, std::span<const sequence> sequences, pass kind, context& ctx, After&& after) const {
        const pass_scope scope(ctx, kind);
        for (const sequence& s : sequences) s.cache->require(s.count);
        for (std::size_t i = 0; i < layers.size(); ++i) {
            layers[i](x, sequences, rope, ctx);
            if (!after(i, x)) return false;
        }
        for (const sequence& s : sequences) s.cache->advance(s.count);
        return true;
    }

    /// Applies the final norm: outputs of the last block (T, D) -> hidden states (T, D), in scratch memory.
    [[nodiscard]] matrix_view normalise(const matrix_view& x, context& ctx) const { return final_norm(x, ctx); }

    /// Hidden states (T, D) -> logits (T, V), in scratch memory, before the final softcap.
    [[nodiscard]] matrix_view uncapped_logits(const matrix_view& hidden, context& ctx) const {
        const pass_scope scope(ctx, pass::step); // makes the logits of a prefill bit-identical to those of a decode step
        matrix_view y = (head.weight.count ? head : linear<Storage>{.weight = embedding})(hidden, ctx);
        const std::size_t count = y.shape(0), width = y.shape(1), vocab = config.vocab;
        if (width == vocab) return y;
        for (std::size_t row = 1; row < count; ++row)
            std::copy_n(y.data() + row * width, vocab, y.data() + row * vocab); // drops the padding rows of the last strip
        return view_matrix(y.data(), count, vocab);
    }
    /// Applies the final softcap in place.
    void cap(matrix_view& y, context& ctx) const {
        if (config.final_softcap > 0)
            ctx.threads.run_blocks(y.size(), kernels::elements_a_task,
                                   [&](std::size_t i, std::size_t n) { kernels::active().softcap(y.data() + i, n, config.final_softcap); });
    }

    /// Binds the tensors whose names begin with "language_model.". `tied`: the checkpoint needs only one of embedding and head. A head that
    /// repeats the embedding is not bound separately.
    template <tensor_visitor V>
    void bind(const V& names, bool tied = true) {
        const auto model = names["model"];
        const bool head_alone = tied && !names.has("model.embed_tokens.weight") && names.has("lm_head.weight");
        (head_alone ? names["lm_head"] : model["embed_tokens"]).vocabulary("weight", embedding, {config.vocab, config.hidden});
        for (std::size_t i = 0; i < layers.size(); ++i) layers[i].bind(model["layers." + std::to_string(i)], i);
        final_norm.bind(model["norm"], config.hidden, config.norm_eps);
        const bool one_is_enough = tied || names.has("lm_head.weight");
        if (!head_alone && !(one_is_enough && names.omits_or_repeats("lm_head.weight", "model.embed_tokens.weight")))
            names["lm_head"].vocabulary("weight", head.weight, {config.vocab, config.hidden});
    }

private:
    /// Multiplies row (D) by `factor`.
    PALI_FLATTEN void scale(float* row, float factor) const noexcept { xt::noalias(arch::view(row, {embedding.width})) *= factor; }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
