// Prefill: image features and prompt tokens through the decoder in one pass.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/core/error.hpp>
#include <pali/decoder/kv_cache.hpp>
#include <pali/model/call_progress.hpp>
#include <pali/model/check_tokens.hpp>
#include <pali/model/image_features.hpp>
#include <pali/model/network.hpp>
#include <pali/text/prompt.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail { inline namespace PALI_SIMD {

/// Copies the features of an image, (tokens, hidden).
PALI_FLATTEN inline void copy_features(const image_features& image, float* to) noexcept {
    xt::noalias(arch::view(to, {image.values.shape(0), image.values.shape(1)})) = arch::view(image.values);
}

/// Concatenates the features of the images, in order, and the embeddings of the tokens: (image tokens + text tokens, hidden), in scratch
/// memory. Throws errc::invalid_argument for features whose width is not `hidden` and for tokens outside the vocabulary.
template <class Network>
[[nodiscard]] matrix_view embed(const Network& net, std::span<const image_features> images, std::span<const token> text, context& ctx) {
    std::size_t seen = 0;
    for (const image_features& image : images) {
        if (image.values.shape(1) != net.config.hidden)
            throw error(errc::invalid_argument, {"the image features are ", image.values.shape(1), " wide, but this model needs ",
                                                 net.config.hidden, "; were they computed by another model?"});
        seen += image.values.shape(0);
    }
    matrix_view x = ctx.take(seen + text.size(), net.config.hidden);
    float* to = x.data();
    for (const image_features& image : images) {
        copy_features(image, to);
        to += image.values.size();
    }
    for (const token id : text) {
        net.decoder.embed(id, to);
        to += net.config.hidden;
    }
    return x;
}

/// Builds the token sequence: image tokens, BOS, the prompt, "\n". Throws what layout_prompt() throws. Throws errc::invalid_prompt for a
/// token without an embedding row, and if the sequence and `more` further tokens exceed the positions of the model.
template <class Network>
[[nodiscard]] prompt_layout lay_out(const Network& net, const tokenizer& text, std::size_t image_tokens, std::string_view prompt,
                                    std::size_t more = 1) {
    prompt_layout layout = layout_prompt(text, prompt, image_tokens);
    require_token_rows(text, std::span(layout.tokens).subspan(image_tokens), net.config.vocab);
    if (const std::size_t count = layout.tokens.size(); count > net.positions || more > net.positions - count)
        throw error(errc::invalid_prompt,
                    {"images and prompt have ", count, " tokens (", image_tokens, " for images); with ", more,
                     " for the answer they exceed the ", net.positions,
                     " positions of the model (max_position_embeddings in config.json); use a shorter prompt or fewer images"});
    return layout;
}
/// Same, with one image token per row of the image features.
template <class Network>
[[nodiscard]] prompt_layout lay_out(const Network& net, const tokenizer& text, std::span<const image_features> images,
                                    std::string_view prompt, std::size_t more = 1) {
    std::size_t rows = 0;
    for (const image_features& image : images) rows += image.values.shape(0);
    return lay_out(net, text, rows, prompt, more);
}

/// Starts a sequence in `cache`: images and `prompt`, whose tokens attend to each other in both directions, then `suffix`, which is causal.
/// Returns the outputs of the last block, (T, hidden), before the final norm, in scratch memory. Returns std::nullopt if `progress`, stage
/// "prefill", cancels. Throws what embed() throws, and errc::capacity_exceeded if the cache is too small.
template <class Network>
[[nodiscard]] std::optional<matrix_view> prefill(Network& net, std::span<const image_features> images, std::span<const token> prompt,
                                                 std::span<const token> suffix, kv_cache& cache, context& ctx, call_progress& progress) {
    std::vector<token> text(prompt.begin(), prompt.end());
    text.insert(text.end(), suffix.begin(), suffix.end());
    if (!progress.begin("prefill")) return std::nullopt;
    matrix_view x = embed(net, images, text, ctx);
    const std::size_t rows = x.shape(0);
    net.decoder.extend(cache.capacity());
    cache.start(rows - suffix.size());
    const sequence whole{.cache = &cache, .first = 0, .count = rows};
    const auto after = [&](std::size_t, const matrix_view&) { return progress.advance("prefill"); };
    if (!net.decoder(x, std::span(&whole, 1), pass::prefill, ctx, after)) return std::nullopt;
    return x;
}

}}}} // namespace pali::PALI_ABI::model_detail::PALI_SIMD
