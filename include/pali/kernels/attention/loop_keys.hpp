// Scaled dot-product attention over blocks of keys with an online softmax: no score matrix, and no copies of keys and values for grouped
// queries.
#pragma once

#include <pali/core/arena.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/attention/attention_shape.hpp>
#include <pali/kernels/attention/prefix_mask.hpp>
#include <pali/kernels/attention/rows_simd.hpp>
#include <pali/kernels/attention/softmax_online.hpp>
#include <pali/kernels/pointwise/activations.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace detail {

/// One call of attention. Queries are split into blocks that share a key head, and keys into parts. `Rows` computes the products.
template <class A, class Rows>
struct attention_pass {
    using element = typename Rows::element;
    using input = typename Rows::input;
    using weigher = typename Rows::weigher;

    attention_shape shape;
    rows<const float> q;
    key_values<element> seen_tokens;
    prefix_mask mask;
    rows<float> out;

    static constexpr std::size_t keys_a_block = key_values<element>::keys_a_block;
    /// Keys per part. Each part is accumulated separately, so that threads can work on different parts if there are few queries.
    static constexpr std::size_t keys_a_part = 256;

    std::size_t group = shape.heads / shape.kv_heads, width = seen_tokens.value_width();
    std::size_t tokens_a_block = std::clamp<std::size_t>(weigher::queries_a_block / group, 1, std::max<std::size_t>(1, q.count)),
                most = tokens_a_block * group;                                                                 // queries of a block
    std::size_t room_for = (most + weigher::rows_at_once - 1) / weigher::rows_at_once * weigher::rows_at_once; // rounded up to rows_at_once
    std::size_t blocks_a_head = (q.count + tokens_a_block - 1) / tokens_a_block, blocks = shape.kv_heads * blocks_a_head;

    /// Query i of a block belongs to token first + i / group, and to head i % group of the query heads that share the key head.
    struct block {
        std::size_t kv_head, first, count;
        key_range sees; ///< the keys that at least one query sees
        [[nodiscard]] std::size_t first_part() const noexcept { return sees.begin / keys_a_part; }
        [[nodiscard]] std::size_t end_part() const noexcept { return (sees.end + keys_a_part - 1) / keys_a_part; }
    };
    [[nodiscard]] block block_at(std::size_t i) const noexcept {
        const std::size_t first = i % blocks_a_head * tokens_a_block, tokens = std::min(tokens_a_block, q.count - first);
        key_range sees = mask(first);
        for (std::size_t t = first + 1; t < first + tokens; ++t)
            sees = {std::min(sees.begin, mask(t).begin), std::max(sees.end, mask(t).end)};
        return {i / blocks_a_head, first, tokens * group, sees};
    }

    /// Scratch memory of one thread: the scaled queries of a block, their scores, and one decay factor per query. The scores are turned
    /// into the weights of the values in place.
    struct room {
        rows<input> queries, weights;
        rows<float> scores;
        float* decay;
    };
    [[nodiscard]] static std::size_t whole_lines(std::size_t floats) noexcept { return (floats + 15) / 16 * 16; }
    [[nodiscard]] std::size_t room_floats() const noexcept { return whole_lines(room_for) + room_for * (width + keys_a_block) + width; }
    [[nodiscard]] std::size_t weigher_floats() const noexcept { return weigher::floats(std::max(width, keys_a_block)); }
    [[nodiscard]] room take_queries(const block& of, float* memory) const noexcept {
        const auto take = [&](std::size_t floats) { return std::exchange(memory, memory + floats); };
        room r;
        r.decay = take(whole_lines(room_for));
        r.scores = {take(room_for * keys_a_block), of.count, keys_a_block};
        r.weights = {reinterpret_cast<input*>(r.scores.data), of.count, keys_a_block, keys_a_block * sizeof(float) / sizeof(input)};
        r.queries = {reinterpret_cast<input*>(take(room_for * width)), of.count, shape.head_dim, width * sizeof(float) / sizeof(input)};
        float* const row = take(width);
        for (std::size_t i = 0; i < of.count; ++i) {
            const float* const from = q[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            for (std::size_t d = 0; d < shape.head_dim; ++d) row[d] = from[d] * shape.scale;
            Rows::pack(row, shape.head_dim, r.queries[i]);
        }
        return r;
    }

    /// Accumulates one part of the keys for the queries of a block.
    void gather(arch::simd<A> tag, const block& of, std::size_t part, const room& at, const weigher& weigh, gathered& seen) const noexcept {
        const std::size_t begin = std::max(of.sees.begin / keys_a_block * keys_a_block, part * keys_a_part),
                          end = std::min(of.sees.end, (part + 1) * keys_a_part);
        for (std::size_t first = begin; first < end; first += keys_a_block) {
            const std::size_t size = std::min(keys_a_block, end - first);
            weigh(rows<const input>(at.queries), seen_tokens.keys(of.kv_head, first / keys_a_block), nullptr, at.scores);
            for (std::size_t i = 0; i < of.count; ++i) {
                if (shape.softcap > 0) softcap(tag, at.scores[i], size, shape.softcap);
                const key_range sees = mask(of.first + i / group);
                const auto within = [&](std::size_t key) { return std::clamp(key, first, first + size) - first; };
                at.decay[i] = seen.softmax[i].take(tag, at.scores[i], size, within(sees.begin), within(sees.end));
                Rows::pack(at.scores[i], size, at.weights[i]);
            }
            weigh(rows<const input>(at.weights.data, of.count, size, at.weights.stride), seen_tokens.values(of.kv_head).from(first),
                  at.decay, seen.sums);
        }
    }

    /// Divides the sums of a block by the sums of the softmax and writes them to `out`.
    void finish(const block& of, const gathered& seen) const noexcept {
        for (std::size_t i = 0; i < of.count; ++i) {
            float* const to = out[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            const float inverse = 1.f / seen.softmax[i].sum;
            for (std::size_t d = 0; d < shape.head_dim; ++d) to[d] = seen.sums[i][d] * inverse;
        }
    }

    /// Runs one task per block.
    void by_blocks(arch::simd<A> tag, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(room_for, width), floats = room_floats() + weigher_floats() + 2 * seen_floats;
        float* const memory = scratch.take(threads.size() * floats);
        threads.run(blocks, [&](std::size_t i, std::size_t thread) {
            const block of = block_at(i);
            float* const mine = memory + thread * floats;
            const room at = take_queries(of, mine + 2 * seen_floats);
            const weigher weigh(mine + 2 * seen_floats + room_floats());
            gathered all(mine, of.count, width), seen(mine + seen_floats, of.count, width);
            all.clear();
            for (std::size_t part = of.first_part(); part < of.end_part(); ++part) {
                seen.clear();
                gather(tag, of, part, at, weigh, seen);
                all.add(tag, seen);
            }
            finish(of, all);
        });
    }

    /// Runs one task per block and part, then one task per block, which adds the parts. The results are bit-identical to those of
    /// by_blocks().
    void by_parts(arch::simd<A> tag, std::size_t parts, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(room_for, width), floats = room_floats() + weigher_floats();
        float *const memory = scratch.take(threads.size() * floats), *const seen_memory = scratch.take(blocks * (parts + 1) * seen_floats);
        const auto seen_by = [&](const block& of, std::size_t i, std::size_t part) {
            return gathered(seen_memory + (i * (parts + 1) + part) * seen_floats, of.count, width);
        };
        threads.run(blocks * parts, [&](std::size_t task, std::size_t thread) {
            const block of = block_at(task / parts);
            gathered seen = seen_by(of, task / parts, task % parts);
            seen.clear();
            const std::size_t part = of.first_part() + task % parts;
            if (part >= of.end_part()) return;
            float* const mine = memory + thread * floats;
            const room at = take_queries(of, mine);
            gather(tag, of, part, at, weigher(mine + room_floats()), seen);
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
 * Computes out[t][h] = softmax(cap(scale · q[t][h] · keysᵀ)) · values, over the keys that token t sees, which are mask(t). q is (T, heads ·
 * head_dim). Each of the kv_heads key heads is shared by heads / kv_heads query heads. `Rows` defines the element type of keys and values
 * and the arithmetic. out has the shape of q and must not alias it.
 *
 * Parts of the keys are accumulated separately and then added in order. So the order of every sum depends only on the positions of the
 * keys, and a token's result does not depend on other tokens or on the threads. If there are few blocks of queries, threads work on
 * different parts of one block (flash-decoding: Dao et al., 2023).
 *
 * Cost: 4 · T · heads · head_dim · keys flop. Scratch: one block of queries per thread, or all parts if there are few blocks.
 */
template <class Rows, class A>
void loop_keys(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, const key_values<typename Rows::element>& seen,
               const prefix_mask& mask, rows<float> out, thread_pool& threads, arena& scratch) {
    PALI_ASSERT(seen.head_dim == shape.head_dim && q.count == out.count);
    const arena::frame frame(scratch);
    const detail::attention_pass<A, Rows> pass{shape, q, seen, mask, out};
    std::size_t parts = 1;
    if (pass.blocks < 4 * threads.size())
        for (std::size_t i = 0; i < pass.blocks; ++i) parts = std::max(parts, pass.block_at(i).end_part() - pass.block_at(i).first_part());
    if (parts > 1) pass.by_parts(tag, parts, threads, scratch);
    else pass.by_blocks(tag, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
