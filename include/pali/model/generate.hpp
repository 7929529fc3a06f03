// The decode loop: prefill of one prompt after the other, then one decode step per token for all answers together.
#pragma once

#include <pali/generate/answer.hpp>
#include <pali/model/kv_caches.hpp>
#include <pali/model/prefill.hpp>
#include <pali/model/request.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail { inline namespace PALI_SIMD {

/// Measures wall time with a monotonic clock.
class stopwatch {
public:
    /// Returns the seconds since construction or the previous call.
    [[nodiscard]] double lap() {
        const auto now = std::chrono::steady_clock::now();
        const double seconds = std::chrono::duration<double>(now - m_start).count();
        m_start = now;
        return seconds;
    }

private:
    std::chrono::steady_clock::time_point m_start = std::chrono::steady_clock::now();
};

/// Answers requests by greedy decoding or sampling. A request gets the same tokens in a batch as alone, because the rows of a batch do not
/// interact. A callback that returns false stops all requests. `caches` are reused across calls. Callbacks number the answers from
/// `first_number`. Throws what sampler, lay_out(), embed() and network::logits() throw. A decode step reads the weights once for all
/// answers and does not allocate.
template <class Network>
[[nodiscard]] std::vector<generation> generate(Network& net, const tokenizer& text, std::span<const token> eos,
                                               std::span<const request> requests, kv_caches& caches, context& ctx, call_progress& progress,
                                               std::size_t first_number = 0) {
    std::deque<answer> answers;
    std::vector<std::size_t> active; // answers that need another token
    active.reserve(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        stopwatch clock;
        const prompt_layout prompt = lay_out(net, text, requests[i].images, requests[i].prompt);
        const std::size_t most_tokens = std::min(requests[i].options.max_new_tokens, net.positions - prompt.tokens.size());
        answer& a = answers.emplace_back(first_number + i, requests[i].options, text, eos, prompt, net.config.vocab, most_tokens);
        if (progress.stopped()) continue; // cancelled: keep the prompt, generate nothing
        kv_cache& cache = caches.prepare(i, net.config, prompt.tokens.size() + most_tokens);
        const arena::frame frame(ctx.scratch);
        const auto words = std::span(prompt.tokens).subspan(prompt.image_tokens);
        if (auto x = prefill(net, requests[i].images, words, {}, cache, ctx, progress)) {
            auto logits = net.logits(net.decoder.normalise(slice(*x, x->shape(0) - 1, 1), ctx), ctx);
            if (a.take({logits.data(), logits.size()})) active.push_back(i);
            if (a.stopped()) progress.stop();
        }
        a.timings().prefill_s = clock.lap();
    }
    std::vector<sequence> sequences;
    sequences.reserve(active.size());
    for (stopwatch clock; !active.empty() && progress.advance("decode");) {
        const arena::frame frame(ctx.scratch);
        matrix_view x = ctx.take(active.size(), net.config.hidden);
        sequences.clear();
        for (std::size_t row = 0; row < active.size(); ++row) {
            net.decoder.embed(answers[active[row]].last(), x.data() + row * net.config.hidden);
            sequences.push_back({.cache = &caches[active[row]], .first = row, .count = 1});
        }
        net.decoder(x, sequences, pass::step, ctx, [](std::size_t, const matrix_view&) { return true; });
        auto logits = net.logits(net.decoder.normalise(x, ctx), ctx);
        const std::size_t vocab = logits.shape(1);
        const double seconds = clock.lap();
        std::size_t kept = 0;
        for (std::size_t row = 0; row < active.size(); ++row) {
            answer& a = answers[active[row]];
            a.timings().decode_s += seconds;
            if (progress.stopped()) break; // a callback of a preceding answer stopped the call
            if (a.take({logits.data() + row * vocab, vocab})) active[kept++] = active[row];
            if (a.stopped()) progress.stop();
        }
        active.resize(kept);
    }
    if (!progress.stopped()) progress.complete("decode");
    std::vector<generation> results;
    results.reserve(answers.size());
    for (answer& a : answers) {
        a.cancel();
        results.push_back(std::move(a).finish());
    }
    return results;
}

}}}} // namespace pali::PALI_ABI::model_detail::PALI_SIMD
