// Scaled dot-product attention, block by block of keys with an online softmax: no matrix of scores, no copies for grouped queries.
#pragma once

#include <pali/kernels/attention_shape.hpp>
#include <pali/kernels/elementwise.hpp>
#include <pali/kernels/matmul.hpp>
#include <pali/kernels/online_softmax.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <utility>

namespace pali::inline PALI_ABI::kernels {

namespace detail {

/// out[r][d] = out[r][d] · decay[r] + sum over j of p[r][j] · v[j][d], for R queries and D batches held in registers. Of bfloat16, batches are the even and the
/// odd numbers of 2 · lanes, as load_half() gives them.
template <std::size_t R, std::size_t D, class A, weight_element Element>
void weigh_tile(arch::simd<A> tag, rows<const float> p, const float* decay, rows<const Element> v, rows<float> out) noexcept {
    using batch = xsimd::batch<float, A>;
    batch sums[R][D];
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t d = 0; d < D; ++d) sums[r][d] = batch::load_aligned(out[r] + d * batch::size) * batch(decay[r]);
    for (std::size_t j = 0; j < v.count; ++j) {
        const auto add = [&]<std::size_t I>(std::integral_constant<std::size_t, I>) PALI_ALWAYS_INLINE {
            const batch value = load_half<I % 2>(tag, v[j] + I / 2 * 2 * batch::size);
            for (std::size_t r = 0; r < R; ++r) sums[r][I] = xsimd::fma(batch(p[r][j]), value, sums[r][I]);
        };
        [&]<std::size_t... I>(std::index_sequence<I...>) PALI_ALWAYS_INLINE { (add(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<D>{});
    }
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t d = 0; d < D; ++d) sums[r][d].store_aligned(out[r] + d * batch::size);
}

/// sums = sums · decay + scores · v, in tiles.
template <class A, weight_element Element>
void weigh(arch::simd<A> tag, rows<const float> scores, const float* decay, rows<const Element> v, rows<float> sums) noexcept {
    constexpr std::size_t lanes = arch::simd<A>::lanes, depth_tile = simd_dot<A, Element>::template columns<6>;
    for_row_tiles<6>(scores.count, [&]<std::size_t R>(std::size_t i, std::integral_constant<std::size_t, R>) {
        const auto tile = [&]<std::size_t D>(std::size_t d, std::integral_constant<std::size_t, D>) {
            weigh_tile<R, D>(tag, scores.slice(i, R), decay + i, rows<const Element>(v.data + d, v.count, D * lanes, v.stride), rows<float>(sums[i] + d, R, D * lanes, sums.stride));
        };
        std::size_t d = 0;
        for (; d + depth_tile * lanes <= v.width; d += depth_tile * lanes) tile(d, std::integral_constant<std::size_t, depth_tile>{});
        if constexpr (depth_tile > 2)
            for (; d + 2 * lanes <= v.width; d += 2 * lanes) tile(d, std::integral_constant<std::size_t, 2>{});
        if constexpr (std::same_as<Element, float>)
            for (; d < v.width; d += lanes) tile(d, std::integral_constant<std::size_t, 1>{});
    });
}

/// One attention, cut into blocks of queries that share a key head, and parts of the keys.
template <class A, weight_element Element, class Range>
struct attention_pass {
    attention_shape shape;
    rows<const float> q;
    head_view<Element> keys, values;
    Range range;
    rows<float> out;

    static constexpr std::size_t queries_a_block = 16, keys_a_block = 64; // scores of a block and its keys stay in the first two caches
    /// Keys that are gathered for themselves: what threads share where queries are few.
    static constexpr std::size_t keys_a_part = 256;

    std::size_t group = shape.heads / shape.kv_heads, depth = padded_head_dim<Element>(shape.head_dim);
    std::size_t tokens_a_block = std::clamp<std::size_t>(queries_a_block / group, 1, std::max<std::size_t>(1, q.count)), most = tokens_a_block * group; // queries of a block
    std::size_t blocks_a_head = (q.count + tokens_a_block - 1) / tokens_a_block, blocks = shape.kv_heads * blocks_a_head;

    /// Query i is token first + i / group, head i % group of those of the key head.
    struct block {
        std::size_t kv_head, first, count;
        key_range sees; ///< all queries together
        [[nodiscard]] std::size_t first_part() const noexcept { return sees.begin / keys_a_part; }
        [[nodiscard]] std::size_t end_part() const noexcept { return (sees.end + keys_a_part - 1) / keys_a_part; }
    };
    [[nodiscard]] block block_at(std::size_t i) const noexcept {
        const std::size_t first = i % blocks_a_head * tokens_a_block, tokens = std::min(tokens_a_block, q.count - first);
        key_range sees = range(first);
        for (std::size_t t = first + 1; t < first + tokens; ++t) sees = {std::min(sees.begin, range(t).begin), std::max(sees.end, range(t).end)};
        return {i / blocks_a_head, first, tokens * group, sees};
    }

    static constexpr std::size_t pair = simd_dot<A, Element>::pair;
    /// Memory of a thread: the queries of a block, scaled and in the order of the keys' numbers, their scores, and one row or column beside each.
    struct room {
        rows<float> queries, scores;
        float *decay, *row;
    };
    [[nodiscard]] std::size_t packed_depth() const noexcept { return (depth + pair - 1) / pair * pair; }
    [[nodiscard]] std::size_t room_floats() const noexcept { return most * (packed_depth() + keys_a_block) + (most + 15) / 16 * 16 + packed_depth(); }
    [[nodiscard]] room take_queries(arch::simd<A> tag, const block& of, float* memory) const noexcept {
        room r{.queries = {memory, of.count, packed_depth()}, .scores = {memory + most * packed_depth(), of.count, keys_a_block}, .decay = nullptr, .row = nullptr};
        r.decay = r.scores.data + most * keys_a_block;
        r.row = r.decay + (most + 15) / 16 * 16;
        std::fill(r.row, r.row + packed_depth(), 0.f);
        for (std::size_t i = 0; i < of.count; ++i) {
            const float* const from = q[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            for (std::size_t d = 0; d < shape.head_dim; ++d) r.row[d] = from[d] * shape.scale;
            pack_row<A, Element>(tag, r.row, packed_depth(), r.queries[i]);
        }
        return r;
    }

    /// What the queries of a block see in one part of the keys.
    void gather(arch::simd<A> tag, const block& of, std::size_t part, const room& at, gathered& seen) const noexcept {
        const std::size_t begin = std::max(of.sees.begin / keys_a_block * keys_a_block, part * keys_a_part), end = std::min(of.sees.end, (part + 1) * keys_a_part);
        for (std::size_t first = begin; first < end; first += keys_a_block) {
            const std::size_t size = std::min(keys_a_block, end - first);
            const auto of_head = [&](const head_view<Element>& all) {
                return rows<const Element>(all.data + of.kv_head * all.head_stride + first * all.token_stride, size, depth, all.token_stride);
            };
            dot_rows<simd_dot<A, Element>>(rows<const float>(at.queries), of_head(keys), nullptr, at.scores);
            for (std::size_t i = 0; i < of.count; ++i) {
                if (shape.softcap > 0) softcap(tag, at.scores[i], size, shape.softcap);
                const key_range sees = range(of.first + i / group);
                const auto within = [&](std::size_t key) { return std::clamp(key, first, first + size) - first; };
                at.decay[i] = seen.softmax[i].take(tag, at.scores[i], size, within(sees.begin), within(sees.end));
            }
            weigh(tag, rows<const float>(at.scores), at.decay, of_head(values), seen.sums);
        }
    }

    /// The sums of a block, divided, to where they belong.
    void finish(const block& of, const gathered& seen) const noexcept {
        for (std::size_t i = 0; i < of.count; ++i) {
            float* const to = out[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            const float inverse = 1.f / seen.softmax[i].sum;
            for (std::size_t d = 0; d < shape.head_dim; ++d) to[d] = seen.sums[i][packed_place<A, Element>(d)] * inverse;
        }
    }

    /// As many tasks as blocks.
    void by_blocks(arch::simd<A> tag, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(most, depth), floats = room_floats() + 2 * seen_floats;
        float* const memory = scratch.take(threads.size() * floats);
        threads.run(blocks, [&](std::size_t i, std::size_t thread) {
            const block of = block_at(i);
            float* const mine = memory + thread * floats;
            const room at = take_queries(tag, of, mine + 2 * seen_floats);
            gathered all(mine, of.count, depth), seen(mine + seen_floats, of.count, depth);
            all.clear();
            for (std::size_t part = of.first_part(); part < of.end_part(); ++part) {
                seen.clear();
                gather(tag, of, part, at, seen);
                all.add(tag, seen);
            }
            finish(of, all);
        });
    }

    /// As many tasks as all blocks have parts, then one for each block. The sums are those of by_blocks().
    void by_parts(arch::simd<A> tag, std::size_t parts, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(most, depth), floats = room_floats();
        float *const memory = scratch.take(threads.size() * floats), *const seen_memory = scratch.take(blocks * (parts + 1) * seen_floats);
        const auto seen_by = [&](const block& of, std::size_t i, std::size_t part) { return gathered(seen_memory + (i * (parts + 1) + part) * seen_floats, of.count, depth); };
        threads.run(blocks * parts, [&](std::size_t task, std::size_t thread) {
            const block of = block_at(task / parts);
            gathered seen = seen_by(of, task / parts, task % parts);
            seen.clear();
            if (const std::size_t part = of.first_part() + task % parts; part < of.end_part()) gather(tag, of, part, take_queries(tag, of, memory + thread * floats), seen);
        });
        threads.run(blocks, [&](std::size_t i) {
            const block of = block_at(i);
            gathered all = seen_by(of, i, parts);
            all.clear();
            for (std::size_t part = 0; part < parts; ++part) all.add(tag, seen_by(of, i, part));
            finish(of, all);
        });
    }
};

} // namespace detail

/**
 * out[t][h] = softmax(cap(scale · q[t][h] · keysᵀ)) · values, over the keys that range(t) allows.
 * q (T, heads · head_dim); keys, values of kv_heads heads, each shared by heads / kv_heads queries, in float32 or bfloat16; out like q, not q.
 * Parts of the keys are gathered for themselves and added in their order: the order of every sum depends on the positions of the keys alone, and a token's
 * result is the same alone or among others and on any threads. Where blocks of queries are few, threads share the parts (flash-decoding: Dao et al., 2023).
 * 4 · T · heads · head_dim · keys flop; scratch for one block of queries a thread, or for all parts of few.
 */
template <class A, weight_element Element, class Range>
void attention(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, head_view<Element> keys, head_view<Element> values, Range range, rows<float> out,
               thread_pool& threads, arena& scratch) {
    const arena::frame frame(scratch);
    const detail::attention_pass<A, Element, Range> pass{shape, q, keys, values, range, out};
    std::size_t parts = 1;
    if (pass.blocks < 4 * threads.size())
        for (std::size_t i = 0; i < pass.blocks; ++i) parts = std::max(parts, pass.block_at(i).end_part() - pass.block_at(i).first_part());
    if (parts > 1) pass.by_parts(tag, parts, threads, scratch);
    else pass.by_blocks(tag, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels
