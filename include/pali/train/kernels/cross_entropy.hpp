// Cross entropy of the next token, with its backward pass, in blocks of the vocabulary.
#pragma once

#include <pali/core/arena.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/train/kernels/blocked_product.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

/// Variants of the loss.
struct cross_entropy_options {
    float softcap = 0;   ///< limit of the logits; 0: none
    float smoothing = 0; ///< probability e that the target leaves to the other tokens, e / (V - 1) each
    float factor = 1;    ///< factor of the gradients; the losses are not scaled
};

namespace loss_detail {

/// Tokens per block of logits. A multiple of 1024, so that sum_of_exp() adds a row as in a single call.
inline constexpr std::size_t tokens_a_block = 2048;

/// What is known of one row of logits after a pass over the vocabulary.
struct row_sums {
    float top = -std::numeric_limits<float>::infinity(); ///< largest logit
    float target = 0;                                    ///< logit of the target
    double logits = 0;                                   ///< sum of the logits
    double exponentials = 0;                             ///< sum of exp(logit - top)
};

/// Probabilities that the loss expects: of the target, and of each other token.
struct expected {
    double target, other;
    expected(float smoothing, std::size_t vocabulary) noexcept
        : target(1 - static_cast<double>(smoothing)),
          other(vocabulary > 1 ? static_cast<double>(smoothing) / static_cast<double>(vocabulary - 1) : 0) {}
};

/// Replaces n logits z, of tokens [first, first + n), by the gradient of the loss: factor · (p - expected) · (1 - (z / softcap)²).
template <class A>
void gradients(arch::simd<A>, float* z, std::size_t n, std::size_t first, std::size_t target, float lse, const expected& of,
               const cross_entropy_options& options) noexcept {
    using batch = xsimd::batch<float, A>;
    const float capped = options.softcap > 0 ? 1 / options.softcap : 0, other = static_cast<float>(of.other);
    const batch inverse(capped);
    const std::size_t whole = n / batch::size * batch::size;
    const float logit = target >= first && target < first + n ? z[target - first] : 0.f;
    for (std::size_t i = 0; i < whole; i += batch::size) {
        const auto v = batch::load_unaligned(z + i), part = v * inverse;
        const auto p = xsimd::exp(v - batch(lse)) - batch(other);
        (batch(options.factor) * p * (batch(1.f) - part * part)).store_unaligned(z + i);
    }
    const auto one = [&](float v, float wanted) {
        return options.factor * (std::exp(v - lse) - wanted) * (1.f - v * capped * (v * capped));
    };
    for (std::size_t i = whole; i < n; ++i) z[i] = one(z[i], other);
    if (target >= first && target < first + n) z[target - first] = one(logit, static_cast<float>(of.target));
}

} // namespace loss_detail

/**
 * Loss of R hidden states h and their targets, with logits z = cap(h · headᵀ), and its gradients:
 *
 *     loss[r] = -sum of expected[v] · log softmax(z)[v],   expected = 1 - e for the target, e / (V - 1) for the others
 *     dz      = factor · (softmax(z) - expected) · (1 - (z / softcap)²)
 *     dh      = dz · head,   dhead += dzᵀ · h
 *
 * hidden, dh (R, D); head, dhead (V, D); targets (R), each in [0, V); losses (R). Without dh (empty), computes the losses alone. dhead is
 * empty if the head is frozen. The gradients are those of the sum of the losses; the caller divides by the number of tokens of the step.
 *
 * The logits of 2048 tokens exist at a time. They are computed three times: for their maximum, for the sum of exponentials, and for the
 * gradients; the losses alone need the first two. Logits and losses have the bits of network::logits() and log_softmax_at(), and do not
 * depend on R. No sum depends on threads. See big_vision trainers/proj/paligemma/train.py, loss_fn.
 *
 * Cost: 8 · R · V · D flop, and 2 · R · V · D for dhead. Scratch: 2048 logits per row, and that of multiply().
 */
template <class A, kernels::weight_element Element>
void cross_entropy(arch::simd<A> tag, rows<const float> hidden, rows<const Element> head, std::span<const std::int32_t> targets,
                   const cross_entropy_options& options, std::span<float> losses, rows<float> dh, rows<float> dhead, thread_pool& threads,
                   arena& scratch) {
    using loss_detail::tokens_a_block;
    PALI_ASSERT(hidden.count == targets.size() && losses.size() == targets.size() && hidden.width == head.width);
    const std::size_t count = hidden.count, vocabulary = head.count;
    const loss_detail::expected expected(options.smoothing, vocabulary);
    const arena::frame frame(scratch);
    float* const memory = scratch.take(count * tokens_a_block);
    const auto target = [&](std::size_t r) { return static_cast<std::size_t>(targets[r]); };
    // Calls then(first, logits) for each block of the vocabulary; logits (R, n) are capped.
    const auto for_blocks = [&](auto&& then) {
        for (std::size_t first = 0; first < vocabulary; first += tokens_a_block) {
            const std::size_t n = std::min(tokens_a_block, vocabulary - first);
            const rows<float> logits(memory, count, n);
            // The kind of pass is that of network::logits().
            kernels::active().product(hidden, {kernels::operand{head.slice(first, n), nullptr, logits}}, pass::step, threads, scratch);
            if (options.softcap > 0)
                threads.run_blocks(count * n, kernels::elements_a_task, [&](std::size_t i, std::size_t elements) {
                    kernels::active().softcap(memory + i, elements, options.softcap);
                });
            then(first, logits);
        }
    };
    float* const lse = scratch.take(count);
    {
        constexpr std::size_t floats_a_row = 16; // a cache line each, because threads write them
        static_assert(sizeof(loss_detail::row_sums) <= floats_a_row * sizeof(float));
        float* const sums_memory = scratch.take(count * floats_a_row);
        const auto sums = [&](std::size_t r) { return reinterpret_cast<loss_detail::row_sums*>(sums_memory + r * floats_a_row); };
        for (std::size_t r = 0; r < count; ++r) std::construct_at(sums(r));
        for_blocks([&](std::size_t first, rows<float> logits) {
            threads.run(count, [&](std::size_t r) {
                auto& of = *sums(r);
                of.top = std::max(of.top, logits[r][kernels::active().argmax(logits[r], logits.width)]);
                if (target(r) >= first && target(r) < first + logits.width) of.target = logits[r][target(r) - first];
                if (options.smoothing > 0)
                    for (std::size_t v = 0; v < logits.width; ++v) of.logits += static_cast<double>(logits[r][v]);
            });
        });
        for_blocks([&](std::size_t, rows<float> logits) {
            threads.run(count, [&](std::size_t r) {
                auto& of = *sums(r);
                of.exponentials = kernels::active().sum_of_exp(logits[r], logits.width, of.top, of.exponentials);
            });
        });
        for (std::size_t r = 0; r < count; ++r) {
            const auto& of = *sums(r);
            const double sum = static_cast<double>(of.top) + std::log(of.exponentials), z = static_cast<double>(of.target);
            lse[r] = static_cast<float>(sum);
            losses[r] = static_cast<float>(options.smoothing > 0 ? sum - expected.target * z - expected.other * (of.logits - z) : sum - z);
        }
    }
    if (dh.count == 0) return;
    for_blocks([&](std::size_t first, rows<float> logits) {
        threads.run(count, [&](std::size_t r) {
            loss_detail::gradients(tag, logits[r], logits.width, first, target(r), lse[r], expected, options);
        });
        const auto block = head.slice(first, logits.width);
        multiply(tag, {product_term{stored_factor{logits}, block}}, first == 0 ? output::assign : output::accumulate, dh, threads, scratch);
        if (dhead.count > 0)
            multiply(tag, {product_term{transposed_factor{logits}, hidden}}, output::accumulate, dhead.slice(first, logits.width), threads,
                     scratch);
    });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
