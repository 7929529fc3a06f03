// Scaled dot-product attention, block by block of keys with an online softmax: no matrix of scores, no copies for grouped queries.
#pragma once

#include <pali/kernels/attention_shape.hpp>
#include <pali/kernels/elementwise.hpp>
#include <pali/kernels/matmul.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace pali::inline PALI_ABI::kernels {

namespace detail {

inline constexpr std::size_t key_block = 64; // scores of a block and its keys stay in the first two caches

/// out[r][d] = out[r][d] · decay[r] + sum over j of p[r][j] · v[j][d], for R queries and D batches held in registers.
template <std::size_t R, std::size_t D, class A>
void weigh_tile(arch::simd<A>, rows<const float> p, const float* decay, rows<const float> v, rows<float> out) noexcept {
    using batch = xsimd::batch<float, A>;
    batch sums[R][D];
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t d = 0; d < D; ++d) sums[r][d] = batch::load_aligned(out[r] + d * batch::size) * batch(decay[r]);
    for (std::size_t j = 0; j < v.count; ++j) {
        for (std::size_t d = 0; d < D; ++d) {
            const auto value = batch::load_aligned(v[j] + d * batch::size);
            for (std::size_t r = 0; r < R; ++r) sums[r][d] = xsimd::fma(batch(p[r][j]), value, sums[r][d]);
        }
    }
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t d = 0; d < D; ++d) sums[r][d].store_aligned(out[r] + d * batch::size);
}

/// The softmax of one query, carried from block to block (Milakov & Gimelshein, arXiv 1805.02867).
struct running_softmax {
    float top = -std::numeric_limits<float>::infinity();
    float sum = 0;

    /// scores -> exp(scores - top), where only [begin, end) of the n are visible; returns what earlier terms have to be multiplied by.
    template <class A>
    float take(arch::simd<A>, float* scores, std::size_t n, std::size_t begin, std::size_t end) noexcept {
        using batch = xsimd::batch<float, A>;
        constexpr float nothing = -std::numeric_limits<float>::infinity();
        const std::size_t padded = (n + batch::size - 1) / batch::size * batch::size;
        if (begin >= end) {
            std::fill(scores, scores + padded, 0.f);
            return 1.f;
        }
        std::fill(scores, scores + begin, nothing);
        std::fill(scores + end, scores + padded, nothing);
        float highest = top;
        for (std::size_t j = begin; j < end; ++j) highest = std::max(highest, scores[j]);
        batch sums(0.f);
        for (std::size_t j = 0; j < padded; j += batch::size) {
            const auto e = xsimd::exp(batch::load_aligned(scores + j) - batch(highest));
            e.store_aligned(scores + j);
            sums += e;
        }
        const float decay = top == nothing ? 0.f : std::exp(top - highest);
        sum = sum * decay + compat::reduce_add(sums);
        top = highest;
        return decay;
    }
};

} // namespace detail

/**
 * out[t][h] = softmax(cap(scale · q[t][h] · keysᵀ)) · values, over the keys that range(t) allows.
 * q (T, heads · head_dim); keys, values of kv_heads heads, each shared by heads / kv_heads queries; out like q, not q.
 * The order of every sum depends on the positions of the keys alone: a token's result is the same alone or among others.
 * 4 · T · heads · head_dim · keys flop; scratch for one block of queries a thread.
 */
template <class A, class Range>
void attention(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, head_view keys, head_view values, Range range, rows<float> out,
               thread_pool& threads, arena& scratch) {
    using batch = xsimd::batch<float, A>;
    using detail::key_block;
    constexpr std::size_t pair = 2 * batch::size;
    constexpr std::size_t depth_tile = detail::column_tile<A, 6>;
    constexpr std::size_t queries_a_task = 16;
    const std::size_t group = shape.heads / shape.kv_heads, head_dim = shape.head_dim, depth = padded_head_dim(head_dim);
    const std::size_t tokens_a_task = std::max<std::size_t>(1, queries_a_task / group);
    const std::size_t blocks = (q.count + tokens_a_task - 1) / tokens_a_task;
    const std::size_t most = tokens_a_task * group, packed_width = (depth + pair - 1) / pair * pair;
    const arena::frame frame(scratch);
    const std::size_t floats_a_thread = most * (packed_width + depth + key_block + 16); // 16: softmax and decay, to a cache line
    float* const memory = scratch.take(threads.size() * floats_a_thread);

    const auto attend = [&](std::size_t task, std::size_t thread) {
        const std::size_t kv_head = task / blocks, first = task % blocks * tokens_a_task;
        const std::size_t tokens = std::min(tokens_a_task, q.count - first), n = tokens * group;
        float* at = memory + thread * floats_a_thread;
        const auto take = [&](std::size_t width) {
            const rows<float> r(at, n, width);
            at += most * width;
            return r;
        };
        const rows<float> queries = take(packed_width), sums = take(depth), scores = take(key_block);
        detail::running_softmax* const softmax = reinterpret_cast<detail::running_softmax*>(take(2).data);
        float* const decay = take(1).data;
        std::size_t begin = std::numeric_limits<std::size_t>::max(), end = 0;
        for (std::size_t i = 0; i < n; ++i) { // query i: token i / group, head i % group of this key head
            const float* const from = q[first + i / group] + (kv_head * group + i % group) * head_dim;
            for (std::size_t d = 0; d < head_dim; ++d) queries[i][d] = from[d] * shape.scale;
            std::fill(queries[i] + head_dim, queries[i] + packed_width, 0.f);
            std::fill(sums[i], sums[i] + depth, 0.f);
            std::construct_at(softmax + i);
            const key_range sees = range(first + i / group);
            begin = std::min(begin, sees.begin);
            end = std::max(end, sees.end);
        }
        for (std::size_t block = begin / key_block * key_block; block < end; block += key_block) {
            const std::size_t size = std::min(key_block, end - block);
            const rows<const float> k(keys.data + kv_head * keys.head_stride + block * keys.token_stride, size, depth, keys.token_stride);
            const rows<const float> v(values.data + kv_head * values.head_stride + block * values.token_stride, size, depth, values.token_stride);
            detail::dot_rows(tag, rows<const float>(queries), k, nullptr, scores);
            for (std::size_t i = 0; i < n; ++i) {
                if (shape.softcap > 0) softcap(tag, scores[i], size, shape.softcap);
                const key_range sees = range(first + i / group);
                const std::size_t from = std::clamp(sees.begin, block, block + size) - block, to = std::clamp(sees.end, block, block + size) - block;
                decay[i] = softmax[i].take(tag, scores[i], size, from, to);
            }
            detail::for_row_tiles<6, 4, 2, 1>(n, [&]<std::size_t R>(std::size_t i, std::integral_constant<std::size_t, R>) {
                const auto weigh = [&]<std::size_t D>(std::size_t d, std::integral_constant<std::size_t, D>) {
                    detail::weigh_tile<R, D>(tag, rows<const float>(scores).slice(i, R), decay + i, rows<const float>(v.data + d, size, D * batch::size, v.stride),
                                             rows<float>(sums[i] + d, R, D * batch::size, depth));
                };
                std::size_t d = 0;
                for (; d + depth_tile * batch::size <= depth; d += depth_tile * batch::size) weigh(d, std::integral_constant<std::size_t, depth_tile>{});
                for (; d < depth; d += batch::size) weigh(d, std::integral_constant<std::size_t, 1>{});
            });
        }
        for (std::size_t i = 0; i < n; ++i) {
            float* const to = out[first + i / group] + (kv_head * group + i % group) * head_dim;
            const float inverse = 1.f / softmax[i].sum;
            for (std::size_t d = 0; d < head_dim; ++d) to[d] = sums[i][d] * inverse;
        }
    };
    threads.run(shape.kv_heads * blocks, attend);
}

} // namespace pali::inline PALI_ABI::kernels
