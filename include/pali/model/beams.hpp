// Beam search over the decoder: each beam is a sequence with its own KV cache; all beams form one batch.
#pragma once

#include <pali/generate/beam_search.hpp>
#include <pali/generate/log_softmax.hpp>
#include <pali/generate/sampler.hpp>
#include <pali/model/generate.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail { inline namespace PALI_SIMD {

/// Maps beams to KV caches. The first child of a beam takes over its cache; each other child copies the generated part into an unused
/// cache.
class beam_caches {
public:
    /// Beam b starts with cache b.
    explicit beam_caches(std::size_t beams) : m_slot(beams), m_next(beams), m_taken(beams) {
        for (std::size_t b = 0; b < beams; ++b) m_slot[b] = b;
    }

    /// The cache index of a beam.
    [[nodiscard]] std::size_t operator[](std::size_t beam) const noexcept { return m_slot[beam]; }

    /// Reorders the caches: beam b continues steps[b].parent. The first `shared` tokens are identical in all caches and are not copied.
    void follow(std::span<const beam_search::step> steps, kv_caches& caches, std::size_t shared) {
        std::fill(m_taken.begin(), m_taken.end(), false);
        for (std::size_t b = 0; b < steps.size(); ++b) {
            const std::size_t slot = m_slot[steps[b].parent];
            m_next[b] = m_taken[slot] ? none : slot;
            m_taken[slot] = true;
        }
        std::size_t unused = 0;
        for (std::size_t b = 0; b < steps.size(); ++b) {
            if (m_next[b] != none) continue;
            while (m_taken[unused]) ++unused;
            m_taken[unused] = true;
            m_next[b] = unused;
            const kv_cache& from = caches[m_slot[steps[b].parent]];
            caches[unused].copy_from(from, shared, from.length());
        }
        std::swap(m_slot, m_next);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::vector<std::size_t> m_slot, m_next;
    std::vector<bool> m_taken;
};

/// Answers a request by beam search, like transformers' generate(num_beams=n). Text and tokens are streamed under `number` once the best
/// answer is known. Progress, stage "search", is reported before each round; if the progress callback cancels, the answer is the best so
/// far. Throws what beam_search, sampler, lay_out(), embed() and network::logits() throw.
template <class Network>
[[nodiscard]] generation search_beams(Network& net, const tokenizer& text, std::span<const token> eos, const request& one,
                                      kv_caches& caches, context& ctx, call_progress& progress, std::size_t number = 0) {
    generate_options options = one.options;
    const std::size_t beams = options.num_beams, vocab = net.config.vocab;
    stopwatch clock;
    const prompt_layout prompt = lay_out(net, text, one.images, one.prompt);
    options.max_new_tokens = std::min(options.max_new_tokens, net.positions - prompt.tokens.size());
    generation result;
    result.most_tokens = options.max_new_tokens;
    result.prompt_tokens.assign(prompt.tokens.begin() + static_cast<std::ptrdiff_t>(prompt.image_tokens), prompt.tokens.end());
    for (std::size_t b = 0; b < beams; ++b) (void)caches.prepare(b, net.config, prompt.tokens.size() + options.max_new_tokens);
    const arena::frame frame(ctx.scratch);
    auto x = prefill(net, one.images, std::span(prompt.tokens).subspan(prompt.image_tokens), {}, caches[0], ctx, progress);
    result.timings.prefill_s = clock.lap();
    if (!x) {
        result.finish = finish_reason::cancelled;
        return result;
    }
    const std::size_t shared = caches[0].length();
    for (std::size_t b = 1; b < beams; ++b) caches[b].copy_from(caches[0], 0, shared);

    beam_search search(options.beams(), vocab, eos);
    sampler processors(options.sampling, vocab);
    beam_caches cache_of(beams);
    matrix own = make_matrix(beams, vocab), scores = make_matrix(beams, vocab);
    std::vector<token> history;
    const auto go_on = [&](const matrix_view& hidden) {
        const auto logits = net.logits(net.decoder.normalise(hidden, ctx), ctx);
        const std::size_t count = logits.shape(0);
        for (std::size_t b = 0; b < count; ++b) {
            log_softmax({logits.data() + b * vocab, vocab}, {own.data() + b * vocab, vocab});
            std::copy_n(own.data() + b * vocab, vocab, scores.data() + b * vocab);
            history.assign(prompt.tokens.begin(), prompt.tokens.end());
            history.insert(history.end(), search.tokens(b).begin(), search.tokens(b).end());
            if (options.constrain) options.constrain(search.tokens(b), {scores.data() + b * vocab, vocab});
            const bool may_end = search.length() >= options.min_new_tokens;
            processors.process({scores.data() + b * vocab, vocab}, history, may_end ? std::span<const token>() : eos);
        }
        return search.advance(rows<const float>(scores.data(), count, vocab), rows<const float>(own.data(), count, vocab));
    };
    std::vector<sequence> batch;
    bool cancelled = false;
    for (bool more = go_on(slice(*x, x->shape(0) - 1, 1)); more;) {
        cancelled = !progress.advance("search");
        if (cancelled) break;
        const arena::frame inner(ctx.scratch);
        cache_of.follow(search.beams(), caches, shared);
        matrix_view step = ctx.take(beams, net.config.hidden);
        batch.clear();
        for (std::size_t b = 0; b < beams; ++b) {
            net.decoder.embed(search.beams()[b].id, step.data() + b * net.config.hidden);
            batch.push_back({.cache = &caches[cache_of[b]], .first = b, .count = 1});
        }
        net.decoder(step, batch, pass::step, ctx, [](std::size_t, const matrix_view&) { return true; });
        more = go_on(step);
    }
    result.timings.decode_s = clock.lap();
    result.tokens = search.best().tokens;
    result.logprobs = search.best().logprobs;
    const bool ended = std::find(eos.begin(), eos.end(), result.tokens.back()) != eos.end();
    result.finish = cancelled ? finish_reason::cancelled : ended ? finish_reason::eos : finish_reason::length;
    result.text = text.decode(std::span(result.tokens).first(result.tokens.size() - (ended ? 1 : 0)));
    if (cancelled) return result; // no further callbacks after cancellation
    for (std::size_t i = 0; i < result.tokens.size() && options.on_token; ++i)
        if (!options.on_token(number, result.tokens[i], result.logprobs[i])) break;
    if (options.on_text && !result.text.empty())
        (void)options.on_text(number, result.text); // the answer is complete, so the result is ignored
    return result;
}

}}}} // namespace pali::PALI_ABI::model_detail::PALI_SIMD
