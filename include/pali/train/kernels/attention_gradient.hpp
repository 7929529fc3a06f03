// Backward pass of scaled dot-product attention with grouped queries, a prefix-LM mask and a softcap. Scores are recomputed block by block.
#pragma once

#include <pali/core/arena.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/attention/attention_shape.hpp>
#include <pali/kernels/attention/key_values.hpp>
#include <pali/kernels/attention/prefix_mask.hpp>
#include <pali/kernels/attention/rows_simd.hpp>
#include <pali/kernels/pointwise/activations.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace train { inline namespace PALI_SIMD {

namespace attention_detail {

/// Queries per block, and the multiple to which keys are padded.
inline constexpr std::size_t queries_a_block = 48, keys_a_block = kernels::key_values<float>::keys_a_block;

/// Turns the scores of one query into log(sum(exp(scores))). Only [begin, end) of the n scores are visible; the others become -inf. n is a
/// multiple of the register size.
template <class A>
[[nodiscard]] float log_sum_exp(arch::simd<A>, float* scores, std::size_t n, std::size_t begin, std::size_t end) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr float nothing = -std::numeric_limits<float>::infinity();
    std::fill(scores, scores + begin, nothing);
    std::fill(scores + end, scores + n, nothing);
    batch tops(nothing), sums(0.f);
    for (std::size_t j = 0; j < n; j += batch::size) tops = xsimd::max(tops, batch::load_aligned(scores + j));
    const float top = compat::reduce_max(tops);
    for (std::size_t j = 0; j < n; j += batch::size) sums += xsimd::exp(batch::load_aligned(scores + j) - batch(top));
    return top + std::log(compat::reduce_add(sums));
}

/// One call of attention_backward().
template <class A>
struct gradient_pass {
    using tile = kernels::rows_simd<A, float>;
    using key_values = kernels::key_values<float>;

    kernels::attention_shape shape;
    rows<const float> q, dout;
    kernels::prefix_mask mask;
    key_values seen;      ///< keys and values
    key_values exchanged; ///< values as keys, keys as values: gives dout · vᵀ and ds · k
    rows<float> lse;      ///< (heads, T): log-sum-exp of the scores
    rows<float> mean;     ///< (heads, T): sum of p · dp

    std::size_t group = shape.heads / shape.kv_heads, width = seen.value_width();
    std::size_t query_blocks = (q.count + queries_a_block - 1) / queries_a_block;
    std::size_t key_blocks = (seen.capacity + keys_a_block - 1) / keys_a_block;

    static void weigh(rows<const float> p, const kernels::paired_rows<float>& v, const float* decay, rows<float> y) noexcept {
        typename tile::weigher(nullptr)(p, v, decay, y);
    }

    /// The keys that at least one of n queries sees.
    [[nodiscard]] kernels::key_range seen_by(std::size_t first, std::size_t n) const noexcept {
        kernels::key_range sees = mask(first);
        for (std::size_t t = first + 1; t < first + n; ++t) {
            const kernels::key_range other = mask(t);
            sees = {std::min(sees.begin, other.begin), std::max(sees.end, other.end)};
        }
        return sees;
    }
    /// Queries [first, first + n) of one head, multiplied by the scale and zero-padded, in `to` (n, width).
    void copy_queries(std::size_t head, std::size_t first, std::size_t n, rows<float> to) const noexcept {
        for (std::size_t t = 0; t < n; ++t) {
            const float* const from = q[first + t] + head * shape.head_dim;
            for (std::size_t d = 0; d < shape.head_dim; ++d) to[t][d] = from[d] * shape.scale;
            std::fill(to[t] + shape.head_dim, to[t] + width, 0.f);
        }
    }
    /// The gradients of the outputs of these queries, where they are stored.
    [[nodiscard]] rows<const float> output_gradients(std::size_t head, std::size_t first, std::size_t n) const noexcept {
        return {dout[first] + head * shape.head_dim, n, shape.head_dim, dout.stride};
    }
    /// p = exp(scores - lse), in place, for n scores that are -inf if the key is not visible.
    static void weights_of(float* scores, std::size_t n, float lse) noexcept {
        using batch = xsimd::batch<float, A>;
        for (std::size_t j = 0; j < n; j += batch::size) xsimd::exp(batch::load_aligned(scores + j) - batch(lse)).store_aligned(scores + j);
    }
    /// Gradient of the scores before the softcap, ds = p · (dp - mean) · (1 - (score / cap)²), in place of dp.
    void score_gradients(const float* scores, const float* p, float* dp, std::size_t n, float mean_of_row) const noexcept {
        using batch = xsimd::batch<float, A>;
        const batch inverse(shape.softcap > 0 ? 1.f / shape.softcap : 0.f);
        for (std::size_t j = 0; j < n; j += batch::size) {
            const auto weight = batch::load_aligned(p + j);
            const auto part = batch::load_aligned(scores + j) * inverse;
            const auto ds = weight * (batch::load_aligned(dp + j) - batch(mean_of_row)) * (batch(1.f) - part * part);
            ds.store_aligned(dp + j);
        }
    }

    /// Floats of scratch that one query task needs.
    [[nodiscard]] std::size_t query_floats() const noexcept { return queries_a_block * (2 * width + 3 * key_blocks * keys_a_block); }
    /// Computes dq, lse and mean of one head and one block of queries.
    void query_task(arch::simd<A> tag, std::size_t head, std::size_t block, float* memory, rows<float> dq) const noexcept {
        const std::size_t first = block * queries_a_block, n = std::min(queries_a_block, q.count - first), kv_head = head / group;
        const kernels::key_range sees = seen_by(first, n);
        const std::size_t base = sees.begin / keys_a_block * keys_a_block,
                          stride = (sees.end - base + keys_a_block - 1) / keys_a_block * keys_a_block;
        const auto take = [&](std::size_t columns) {
            return rows<float>(std::exchange(memory, memory + queries_a_block * columns), n, columns);
        };
        const rows<float> queries = take(width), sums = take(width), scores = take(stride), weights = take(stride), slopes = take(stride);
        copy_queries(head, first, n, queries);
        const rows<const float> inputs(queries.data, n, shape.head_dim, width);
        for (std::size_t at = 0; at < stride; at += keys_a_block) {
            const std::size_t key_block = (base + at) / keys_a_block;
            weigh(inputs, seen.keys(kv_head, key_block), nullptr, {scores.data + at, n, keys_a_block, stride});
            weigh(output_gradients(head, first, n), exchanged.keys(kv_head, key_block), nullptr,
                  {slopes.data + at, n, keys_a_block, stride});
        }
        for (std::size_t t = 0; t < n; ++t) {
            const kernels::key_range range = mask(first + t);
            const std::size_t begin = range.begin - base, end = range.end - base;
            if (shape.softcap > 0) kernels::softcap(tag, scores[t] + begin, end - begin, shape.softcap);
            const float sum = lse[head][first + t] = log_sum_exp(tag, scores[t], stride, begin, end);
            std::copy_n(scores[t], stride, weights[t]);
            weights_of(weights[t], stride, sum);
            std::fill(scores[t], scores[t] + begin, 0.f); // hidden keys have a gradient of zero
            std::fill(scores[t] + end, scores[t] + stride, 0.f);
            std::fill(slopes[t], slopes[t] + begin, 0.f);
            std::fill(slopes[t] + end, slopes[t] + stride, 0.f);
            float total = 0;
            for (std::size_t j = begin; j < end; ++j) total += weights[t][j] * slopes[t][j];
            mean[head][first + t] = total;
            score_gradients(scores[t], weights[t], slopes[t], stride, total);
        }
        weigh({slopes.data, n, sees.end - base, stride}, exchanged.values(kv_head).from(base), nullptr, sums);
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t d = 0; d < shape.head_dim; ++d) dq[first + t][head * shape.head_dim + d] = sums[t][d] * shape.scale;
    }

    /// Floats of scratch that one key task needs.
    [[nodiscard]] std::size_t key_floats() const noexcept {
        return 2 * (keys_a_block + queries_a_block) * width + 5 * queries_a_block * keys_a_block + keys_a_block;
    }
    /// Computes dk and dv of one block of keys: adds the queries of each head of the group in order.
    void key_task(arch::simd<A> tag, std::size_t kv_head, std::size_t block, float* memory, rows<float> dk, rows<float> dv) const noexcept {
        const std::size_t first_key = block * keys_a_block, keys = std::min(keys_a_block, seen.capacity - first_key);
        const auto take = [&](std::size_t count, std::size_t columns) {
            return rows<float>(std::exchange(memory, memory + count * columns), count, columns);
        };
        const rows<float> key_sums = take(keys_a_block, width), value_sums = take(keys_a_block, width),
                          queries = take(queries_a_block, width), outputs = take(queries_a_block, width),
                          scores = take(queries_a_block, keys_a_block), weights = take(queries_a_block, keys_a_block),
                          slopes = take(queries_a_block, keys_a_block), weights_by_key = take(keys_a_block, queries_a_block),
                          slopes_by_key = take(keys_a_block, queries_a_block);
        float* const keep = take(1, keys_a_block).data;
        std::fill(keep, keep + keys_a_block, 1.f);
        std::fill(key_sums.data, key_sums.data + keys_a_block * width, 0.f);
        std::fill(value_sums.data, value_sums.data + keys_a_block * width, 0.f);
        for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
            for (std::size_t first = 0; first < q.count; first += queries_a_block) {
                const std::size_t n = std::min(queries_a_block, q.count - first);
                const kernels::key_range all = seen_by(first, n);
                if (all.end <= first_key || all.begin >= first_key + keys) continue;
                copy_queries(head, first, n, queries);
                const rows<const float> gradients = output_gradients(head, first, n);
                for (std::size_t t = 0; t < n; ++t) {
                    std::copy_n(gradients[t], shape.head_dim, outputs[t]);
                    std::fill(outputs[t] + shape.head_dim, outputs[t] + width, 0.f);
                }
                weigh({queries.data, n, shape.head_dim, width}, seen.keys(kv_head, block), nullptr, scores.slice(0, n));
                weigh(gradients, exchanged.keys(kv_head, block), nullptr, slopes.slice(0, n));
                for (std::size_t t = 0; t < n; ++t) {
                    const kernels::key_range range = mask(first + t);
                    const auto within = [&](std::size_t key) { return std::clamp(key, first_key, first_key + keys) - first_key; };
                    const std::size_t begin = within(range.begin), end = std::max(begin, within(range.end));
                    if (shape.softcap > 0) kernels::softcap(tag, scores[t] + begin, end - begin, shape.softcap);
                    std::copy_n(scores[t], keys_a_block, weights[t]);
                    weights_of(weights[t], keys_a_block, lse[head][first + t]);
                    score_gradients(scores[t], weights[t], slopes[t], keys_a_block, mean[head][first + t]);
                    for (std::size_t j = 0; j < keys; ++j) {
                        const bool visible = j >= begin && j < end;
                        weights_by_key[j][t] = visible ? weights[t][j] : 0.f;
                        slopes_by_key[j][t] = visible ? slopes[t][j] : 0.f;
                    }
                }
                weigh({weights_by_key.data, keys, n, queries_a_block}, {outputs.data, width}, keep, value_sums.slice(0, keys));
                weigh({slopes_by_key.data, keys, n, queries_a_block}, {queries.data, width}, keep, key_sums.slice(0, keys));
            }
        for (std::size_t j = 0; j < keys; ++j) {
            std::copy_n(key_sums[j], shape.head_dim, dk[first_key + j] + kv_head * shape.head_dim);
            std::copy_n(value_sums[j], shape.head_dim, dv[first_key + j] + kv_head * shape.head_dim);
        }
    }
};

} // namespace attention_detail

/**
 * Gradients of kernels::attend: out = p · v with p = softmax(s), s = cap(scale · q · kᵀ), over the keys that each query sees, mask(t).
 *
 *     dp = dout · vᵀ,   ds = p · (dp - sum(p · dp)) · (1 - (s / softcap)²)
 *     dq = scale · ds · k,   dk = scale · dsᵀ · q,   dv = pᵀ · dout
 *
 * q, dout, dq (T, heads · head_dim); k, v, dk, dv (S, kv_heads · head_dim). The gradient of a key or value is the sum over the heads that
 * share it. A key that no query sees gets a gradient of zero. Every key that the mask shows must exist. Outputs must not alias inputs.
 *
 * One task per head and block of 48 queries computes log-sum-exp, sum(p · dp) and dq. Then one task per key head and block of 64 keys
 * recomputes the scores and adds the queries in order. Bits therefore do not depend on threads. See Dao, arXiv 2307.08691, algorithm 2.
 *
 * Cost: 14 · T · heads · head_dim · keys flop; the forward pass has 4. Scratch: keys and values twice; per thread 48 queries by all keys.
 */
template <class A>
void attention_backward(arch::simd<A> tag, const kernels::attention_shape& shape, rows<const float> q, rows<const float> k,
                        rows<const float> v, const kernels::prefix_mask& mask, rows<const float> dout, rows<float> dq, rows<float> dk,
                        rows<float> dv, thread_pool& threads, arena& scratch) {
    using key_values = kernels::key_values<float>;
    PALI_ASSERT(k.count == v.count && q.count == dout.count && q.count == dq.count && k.count == dk.count && k.count == dv.count);
    if (q.count == 0) return;
    const arena::frame frame(scratch);
    const std::size_t elements = key_values::elements(shape.kv_heads, k.count, shape.head_dim), rounded = (q.count + 15) / 16 * 16;
    const key_values seen{scratch.take(elements), k.count, shape.head_dim}, exchanged{scratch.take(elements), k.count, shape.head_dim};
    float *const sums = scratch.take(shape.heads * rounded), *const means = scratch.take(shape.heads * rounded);
    const attention_detail::gradient_pass<A> pass{
        shape, q, dout, mask, seen, exchanged, {sums, shape.heads, q.count, rounded}, {means, shape.heads, q.count, rounded}};
    threads.run(shape.kv_heads * pass.key_blocks, [&](std::size_t task) {
        const std::size_t head = task / pass.key_blocks, first = task % pass.key_blocks * attention_detail::keys_a_block;
        for (std::size_t s = first; s < std::min(k.count, first + attention_detail::keys_a_block); ++s) {
            const float *const key = k[s] + head * shape.head_dim, *const value = v[s] + head * shape.head_dim;
            seen.put(head, s, {key, shape.head_dim}, {value, shape.head_dim});
            exchanged.put(head, s, {value, shape.head_dim}, {key, shape.head_dim});
        }
    });
    const std::size_t floats = std::max(pass.query_floats(), pass.key_floats());
    float* const memory = scratch.take(threads.size() * floats);
    threads.run(shape.heads * pass.query_blocks, [&](std::size_t task, std::size_t thread) {
        pass.query_task(tag, task / pass.query_blocks, task % pass.query_blocks, memory + thread * floats, dq);
    });
    threads.run(shape.kv_heads * pass.key_blocks, [&](std::size_t task, std::size_t thread) {
        pass.key_task(tag, task / pass.key_blocks, task % pass.key_blocks, memory + thread * floats, dk, dv);
    });
}

}}}} // namespace pali::PALI_ABI::train::PALI_SIMD
