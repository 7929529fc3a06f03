// Evaluates a given text: log-probabilities, hidden states, logits.
#pragma once

#include <pali/generate/log_softmax.hpp>
#include <pali/generate/result.hpp>
#include <pali/model/kv_caches.hpp>
#include <pali/model/prefill.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail { inline namespace PALI_SIMD {

/// Runs the whole sequence through the decoder in one pass. Returns (T, hidden) in scratch memory, before the final norm.
template <class Network>
[[nodiscard]] matrix_view forward(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                  std::span<const token> suffix, kv_caches& caches, context& ctx) {
    const prompt_layout layout = lay_out(net, text, images, prompt, suffix.size());
    require_token_rows(text, suffix, net.config.vocab);
    kv_cache& cache = caches.prepare(0, net.config, layout.tokens.size() + suffix.size());
    call_progress unobserved;
    return *prefill(net, images, std::span(layout.tokens).subspan(layout.image_tokens), suffix, cache, ctx, unobserved);
}

/// Hidden states after the final norm, (T, hidden), of a prompt and a causal suffix. Throws what lay_out() and embed() throw.
template <class Network>
[[nodiscard]] matrix hidden_states(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                   std::string_view suffix, kv_caches& caches, context& ctx) {
    const arena::frame frame(ctx.scratch);
    const auto x = forward(net, text, images, prompt, text.encode(suffix), caches, ctx);
    return copy_of(net.decoder.normalise(x, ctx));
}

/// Logits, (T, vocabulary), of a prompt and a causal suffix. Throws what lay_out(), embed() and network::logits() throw.
template <class Network>
[[nodiscard]] matrix logits(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                            std::string_view suffix, kv_caches& caches, context& ctx) {
    const arena::frame frame(ctx.scratch);
    const auto x = forward(net, text, images, prompt, text.encode(suffix), caches, ctx);
    return copy_of(net.logits(net.decoder.normalise(x, ctx), ctx));
}

/// Log-probabilities of an answer and its end-of-sequence token, given images and prompt. Costs one decoder pass; the head runs only over
/// the rows of the answer. Throws what lay_out(), embed() and network::logits() throw.
template <class Network>
[[nodiscard]] score_result score(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                 std::string_view answer, kv_caches& caches, context& ctx) {
    const arena::frame frame(ctx.scratch);
    score_result result;
    result.tokens = encode_answer(text, answer);
    const std::size_t count = result.tokens.size();
    auto x = forward(net, text, images, prompt, std::span(result.tokens).first(count - 1), caches, ctx);
    constexpr std::size_t rows_at_once = 8; // 8 MB of logits for a released model
    for (std::size_t first = 0; first < count; first += rows_at_once) {
        const arena::frame inner(ctx.scratch);
        const std::size_t n = std::min(rows_at_once, count - first);
        const auto l = net.logits(net.decoder.normalise(slice(x, x.shape(0) - count + first, n), ctx), ctx);
        for (std::size_t row = 0; row < n; ++row) {
            const std::span<const float> of(l.data() + row * l.shape(1), l.shape(1));
            result.logprobs.push_back(log_softmax_at(of, result.tokens[first + row]));
        }
    }
    for (const float logprob : result.logprobs) result.logprob += static_cast<double>(logprob);
    return result;
}

}}}} // namespace pali::PALI_ABI::model_detail::PALI_SIMD
