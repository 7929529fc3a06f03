// Compiled twice with different flags, into one program; PALI_TEST_BLOCKS is the name of each function. See odr_blocks_main.cpp.
#include "odr_blocks.hpp"

#include <pali/config/dynamic.hpp>
#include <pali/decoder/gemma.hpp>
#include <pali/vision/siglip.hpp>

#include <array>
#include <cstddef>

namespace {

using namespace pali::nn;
using namespace pali;

constexpr std::size_t width = 16;
alignas(64) constexpr std::array<float, width * width> zeros{};

/// A linear map whose outputs are its bias.
linear<f32> constant(const float* bias) { return {.weight = {zeros.data(), width, width}, .bias = bias}; }

matrix_view ones(std::size_t count, context& ctx) {
    matrix_view x = ctx.take(count, width);
    x.fill(1.f);
    return x;
}

std::vector<float> vision_layer(context& ctx) {
    alignas(64) std::array<float, width> twos, threes;
    twos.fill(2.f);
    threes.fill(3.f);
    const auto zero = constant(zeros.data());
    siglip_block<dynamic_vision, f32> block;
    block.attention_norm = block.mlp_norm = {.scale = zeros.data(), .bias = zeros.data(), .eps = 1.f};
    block.attention = {zero, zero, zero, constant(twos.data()), 1};
    block.mlp = {zero, constant(threes.data())};
    matrix_view x = ones(2, ctx);
    block(x, ctx);
    return std::vector<float>(x.data(), x.data() + x.size());
}

void run_decoder(context& ctx, block_answers& a) {
    dynamic config;
    config.hidden = config.intermediate = config.head_dim = width;
    config.layers = config.heads = config.kv_heads = config.vocab = 1;
    config.rope_theta = 10'000.f;
    gemma<dynamic, f32> decoder(config);
    const matrix_view embedding = ones(1, ctx);
    decoder.embedding = {embedding.data(), 1, width};
    decoder.extend(2);
    gemma_block<dynamic, f32>& block = decoder.layers[0];
    const auto zero = constant(nullptr);
    block.input_norm = block.pre_mlp_norm = {.scale = zeros.data(), .eps = 1.f};
    block.attention = {zero, zero, zero, zero, {.heads = 1, .kv_heads = 1, .head_dim = width, .scale = 1.f}};
    block.mlp = {zero, zero, zero};

    kv_cache cache(config, 2), other(config, 2);
    cache.start(2);
    const std::array<sequence, 1> sequences{{{.cache = &cache, .first = 0, .count = 2}}};
    matrix_view x = ones(2, ctx);
    decoder(x, sequences, pass::prefill, ctx, [](std::size_t, const auto&) { return true; });
    other.copy_from(cache, 0, 2);
    a.decoder_layer.assign(x.data(), x.data() + x.size());
    a.embedding.resize(width);
    decoder.embed(0, a.embedding.data());
}

/// Only compiled: the whole tower, whose weights are 16-bit.
[[maybe_unused]] matrix_view tower(const siglip<dynamic_vision, bf16>& vision, const float* pixels, context& ctx) {
    return vision(pixels, ctx, [](std::size_t, const auto&) { return true; });
}

} // namespace

block_answers PALI_TEST_BLOCKS(context& ctx) {
    block_answers a;
    const arena::frame frame(ctx.scratch);
    a.vision_layer = vision_layer(ctx);
    run_decoder(ctx, a);
    std::array<float, 75> pixels;
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i);
    const matrix_view patches = cut_patches(pixels.data(), 5, 2, ctx);
    a.patches.assign(patches.data(), patches.data() + patches.size());
    return a;
}
