// Calculates the scratch memory of a model's passes for memory_of(), by imitating the allocations of modules and kernels.
#pragma once

#include <pali/config/siglip_config.hpp>
#include <pali/core/pass.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/kernels/attention/key_values.hpp>
#include <pali/weights/storage.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// The properties of kernels and processor that scratch memory depends on.
struct memory_kernels {
    std::size_t lanes = 16;                        ///< floats per SIMD register: 4 with SSE or NEON, 8 with AVX, 16 with AVX-512
    bool bytes = true;                             ///< int8 and int4 matrices are multiplied as bytes: AVX2 and later
    bool avx512_bf16 = false;                      ///< bfloat16 matrices are multiplied with AVX512-BF16
    bool amx = false;                              ///< bfloat16 matrices are multiplied with AMX
    std::size_t l1_bytes = std::size_t{32} * 1024; ///< L1 data cache of a core, bytes; a larger cache never needs more scratch memory
};

[[nodiscard]] constexpr std::size_t round_up(std::size_t n, std::size_t unit) noexcept { return (n + unit - 1) / unit * unit; }
[[nodiscard]] constexpr std::size_t parts_of(std::size_t n, std::size_t most) noexcept { return (n + most - 1) / most; }

/// Calculates the sizes of the blocks that an arena allocates, without allocating them, by the same arithmetic as arena.ipp.
class arena_blocks {
public:
    /// Counterpart of arena::frame.
    class frame {
    public:
        constexpr explicit frame(arena_blocks& owner) noexcept : m_owner(owner), m_block(owner.m_block), m_used(owner.m_used) {}
        constexpr ~frame() {
            m_owner.m_block = m_block;
            m_owner.m_used = m_used;
            if (m_block == 0 && m_used == 0 && m_owner.m_sizes.size() > 1) m_owner.m_sizes.assign(1, m_owner.floats());
        }
        frame(const frame&) = delete;
        frame& operator=(const frame&) = delete;

    private:
        arena_blocks& m_owner;
        std::size_t m_block, m_used;
    };

    constexpr void take(std::size_t n) {
        n = round_up(n, 16);
        while (m_block < m_sizes.size() && m_used + n > m_sizes[m_block]) {
            ++m_block;
            m_used = 0;
        }
        if (m_block == m_sizes.size()) {
            m_sizes.push_back(std::max(n, std::size_t{1} << 18)); // a block has at least 1 MiB
            m_used = 0;
        }
        m_used += n;
    }
    [[nodiscard]] constexpr std::size_t floats() const noexcept {
        std::size_t sum = 0;
        for (const std::size_t size : m_sizes) sum += size;
        return sum;
    }

private:
    std::vector<std::size_t> m_sizes;
    std::size_t m_block = 0, m_used = 0;
};

/// Makes the same requests to arena_blocks, in the same order, as the passes of a model make to an arena. It has one function for the
/// modules of vision/, one for those of decoder/, and one for each kernel that takes scratch memory. Only one layer is imitated, because
/// all layers take the same amount. A test compares the result with a real arena.
template <class Weights>
class scratch_passes {
public:
    constexpr scratch_passes(const memory_kernels& with, std::size_t threads) noexcept : m_with(with), m_threads(threads) {}

    /// Bytes that the arena has now.
    [[nodiscard]] constexpr std::size_t bytes() const noexcept { return m_arena.floats() * sizeof(float); }

    /// Requests of siglip and projector for one image.
    template <class Config>
    constexpr void image(const Config& config) {
        using storage = typename Weights::tower;
        const auto& vision = config.vision;
        const std::size_t patches = patch_count(vision), width = vision.hidden, heads = vision.heads, head_dim = width / heads;
        const frame all(m_arena);
        m_arena.take(patches * 3 * vision.patch_size * vision.patch_size);
        linear<storage>(patches, 3 * vision.patch_size * vision.patch_size, {width}, pass::prefill);
        if (vision.layers > 0) {
            const frame layer(m_arena);
            m_arena.take(patches * width); // the output of the norm
            linear<storage>(patches, width, {width, width, width}, pass::prefill);
            m_arena.take(patches * width); // the output of attention
            const shape attended{heads, heads, head_dim};
            if (std::same_as<storage, bf16> && (m_with.avx512_bf16 || m_with.amx)) {
                m_arena.take(kernels::key_values<bfloat16>::elements(heads, patches, head_dim) / 2);
                attend<bfloat16>(attended, patches, patches, pass::prefill);
            } else {
                m_arena.take(kernels::key_values<float>::elements(heads, patches, head_dim));
                attend<float>(attended, patches, patches, pass::prefill);
            }
            linear<storage>(patches, width, {width}, pass::prefill);
            m_arena.take(patches * width); // the output of the norm
            linear<storage>(patches, width, {vision.intermediate}, pass::prefill);
            linear<storage>(patches, vision.intermediate, {width}, pass::prefill);
        }
        m_arena.take(patches * width); // the output of the norm
        linear<storage>(patches, width, {config.hidden}, pass::prefill);
    }

    /// Requests of gemma for a pass over `tokens` new tokens, which brings the sequence to `length` tokens, and for the logits of the last
    /// token.
    template <class Config>
    constexpr void decoder(const Config& config, std::size_t tokens, std::size_t length, kv_type cache, pass kind) {
        const std::size_t hidden = config.hidden, queries = config.heads * config.head_dim, keys = config.kv_heads * config.head_dim;
        const frame all(m_arena);
        m_arena.take(tokens * hidden);
        if (config.layers > 0) {
            {
                const frame half(m_arena);
                m_arena.take(tokens * hidden); // the output of the norm
                linear<Weights>(tokens, hidden, {queries, keys, keys}, kind);
                m_arena.take(tokens * queries); // the output of attention
                const shape attended{config.heads, config.kv_heads, config.head_dim};
                if (cache == kv_type::f32) attend<float>(attended, tokens, length, kind);
                else attend<bfloat16>(attended, tokens, length, kind);
                linear<Weights>(tokens, queries, {hidden}, kind);
                if (config.post_norms) m_arena.take(tokens * hidden);
            }
            const frame half(m_arena);
            m_arena.take(tokens * hidden);                                                     // the output of the norm
            m_arena.take(tokens * hidden);                                                     // the outputs
            for (std::size_t parts = parts_of(tokens, 1024), part = 0; part < parts; ++part) { // gated_mlp::most_tokens
                const frame inner(m_arena);
                const std::size_t count = (part + 1) * tokens / parts - part * tokens / parts;
                linear<Weights>(count, hidden, {config.intermediate, config.intermediate}, kind);
                product<Weights>(count, config.intermediate, {hidden}, kind);
            }
            if (config.post_norms) m_arena.take(tokens * hidden);
        }
        m_arena.take(hidden); // the output of the final norm, last token
        std::size_t logits = config.vocab;
        if constexpr (requires { Weights::matrix::strip; }) logits = Weights::matrix::padded(logits);
        linear<Weights>(1, hidden, {logits}, pass::step);
    }

    /// Requests of kernels::product(), with one branch per implementation that the dispatcher can choose.
    template <class Storage>
    constexpr void product(std::size_t tokens, std::size_t width, std::initializer_list<std::size_t> outputs, pass kind) {
        const frame of_one(m_arena);
        if constexpr (std::same_as<Storage, f32>) return floats(tokens, width, m_with.lanes);
        else if (m_with.amx && kind == pass::prefill) return tiles(tokens, width, outputs);
        else if constexpr (std::same_as<Storage, bf16>) {
            if (!m_with.avx512_bf16) return floats(tokens, width, 2 * m_with.lanes);
            m_arena.take(tokens * round_up(width, 32) / 2); // dot_bf16_avx512 does not split rows
        } else if (m_with.bytes || kind == pass::step) {    // loop_bytes
            m_arena.take((tokens * width + 3) / 4);
            m_arena.take(tokens * (width / Storage::matrix::group));
            m_arena.take(tokens * (width / Storage::matrix::group));
        } else { // loop_panels
            m_arena.take(m_threads * (most_columns * width / 2));
            floats(tokens, width, 2 * m_with.lanes);
        }
    }

    /// Dimensions of attention, as kernels::attention_shape.
    struct shape {
        std::size_t heads, kv_heads, head_dim;
    };
    /// Requests of kernels::attend() for `tokens` queries, the last of which sees `length` keys.
    template <class Element>
    constexpr void attend(const shape& of, std::size_t tokens, std::size_t length, pass kind) {
        const frame of_one(m_arena);
        const bool tiles = std::same_as<Element, bfloat16> && m_with.amx && kind == pass::prefill;
        const std::size_t group = of.heads / of.kv_heads, width = round_up(of.head_dim, 16);
        const std::size_t tokens_a_block = std::clamp<std::size_t>((tiles ? 32 : 24) / group, 1, std::max<std::size_t>(1, tokens)),
                          queries = round_up(tokens_a_block * group, tiles ? 16 : 1),
                          blocks = of.kv_heads * parts_of(tokens, tokens_a_block), parts = parts_of(length, 256);
        constexpr std::size_t keys_a_block = kernels::key_values<Element>::keys_a_block;
        const std::size_t room = round_up(queries, 16) + queries * (width + keys_a_block) + width +
                                 (tiles ? 16 * std::max(width, keys_a_block) : 0),
                          gathered = round_up(2 * queries, 16) + queries * width;
        if (blocks < 4 * m_threads && parts > 1) {
            m_arena.take(m_threads * room);
            m_arena.take(blocks * (parts + 1) * gathered);
        } else {
            m_arena.take(m_threads * (room + 2 * gathered));
        }
    }

private:
    using frame = arena_blocks::frame;
    static constexpr std::size_t most_columns = 96, most_rows = 288, many_rows = 16; // as in loop_floats.hpp

    /// Requests of linear::operator() and linear::each(): the outputs, then the product.
    template <class Storage>
    constexpr void linear(std::size_t tokens, std::size_t width, std::initializer_list<std::size_t> outputs, pass kind) {
        for (const std::size_t n : outputs) m_arena.take(tokens * n);
        product<Storage>(tokens, width, outputs, kind);
    }
    /// Requests of loop_floats() with dot_floats_simd.
    constexpr void floats(std::size_t tokens, std::size_t width, std::size_t pair) {
        const frame of_one(m_arena);
        m_arena.take(tokens * round_up(width, pair));
        const std::size_t most = std::max(pair, m_with.l1_bytes * 3 / 4 / (6 * sizeof(float)));
        if (tokens < many_rows || width <= most) return;
        const std::size_t depth = round_up(parts_of(width, parts_of(width, most)), pair);
        if (depth < width) m_arena.take(m_threads * std::min(tokens, most_rows) * most_columns * m_with.lanes);
    }
    /// Requests of loop_tiles().
    constexpr void tiles(std::size_t tokens, std::size_t width, std::initializer_list<std::size_t> outputs) {
        constexpr std::size_t tile = std::size_t{16} * 16;
        const std::size_t steps = parts_of(width, 32), token_tiles = parts_of(tokens, 16);
        m_arena.take(token_tiles * steps * tile);
        for (const std::size_t n : outputs) {
            const frame of_one(m_arena);
            const auto pieces = [](std::size_t of, std::size_t most) { return std::max<std::size_t>(1, parts_of(of, most)); };
            const auto even = [&](std::size_t of, std::size_t most) {
                return std::max<std::size_t>(2, (pieces(of, pieces(of, most)) + 1) / 2 * 2);
            };
            const std::size_t all = pieces(n, 32), panels = pieces(all, m_threads * std::max<std::size_t>(4, pieces(all, m_threads * 8))),
                              at_once = even(token_tiles, 32), steps_at_once = even(steps, 768 / at_once);
            m_arena.take(m_threads * (2 * steps_at_once + 2 * panels * at_once) * tile);
        }
    }

    memory_kernels m_with;
    std::size_t m_threads;
    arena_blocks m_arena;
};

}}} // namespace pali::PALI_ABI::model_detail
