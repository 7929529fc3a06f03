// Bodies of parts.hpp, for parts.cpp and for networks used by one source only.
#pragma once

#include "parts.hpp"

#include <utility>

namespace pali::test {

template <class Matrix>
std::vector<float> copy_of(const Matrix& m) {
    return {m.data(), m.data() + m.size()};
}

template <class Config, class Storage>
parts<Config, Storage>::parts(const std::filesystem::path& folder, checkpoint_config changed, std::size_t threads, residency where)
    : config(std::move(changed)), ctx(threads), net(folder, config, load_options{.residency = where}, ctx) {}

template <class Config, class Storage>
outputs parts<Config, Storage>::see(const std::string& image) {
    const core::arena::frame frame(ctx.scratch);
    outputs out;
    const std::vector<float> pixels = pixels_of(config, image);
    const auto x = net.vision(pixels.data(), ctx, [&](std::size_t layer, const matrix_view& y) {
        out[layer == 0 ? "patch_embeddings" : "vision_layer." + std::to_string(layer - 1)] = copy_of(y);
        return true;
    });
    out["vision_norm"] = copy_of(x);
    out["projected"] = copy_of(net.project(x, ctx));
    return out;
}

template <class Config, class Storage>
std::vector<image_features> parts<Config, Storage>::features(const json& images) {
    std::vector<image_features> out;
    for (const json& path : images) {
        const std::vector<float> values = see(image_name(path)).at("projected");
        out.push_back({core::make_matrix(values.size() / net.config.hidden, net.config.hidden)});
        std::copy(values.begin(), values.end(), out.back().values.data());
    }
    return out;
}

template <class Config, class Storage>
outputs parts<Config, Storage>::read(std::span<const image_features> images, std::span<const token> prompt, std::span<const token> suffix,
                                     nn::kv_cache& cache) {
    const core::arena::frame frame(ctx.scratch);
    std::vector<token> text(prompt.begin(), prompt.end());
    text.insert(text.end(), suffix.begin(), suffix.end());
    matrix_view x = model_detail::embed(net, images, text, ctx);
    cache.start(x.shape(0) - suffix.size());
    const nn::sequence whole{.cache = &cache, .first = 0, .count = x.shape(0)};
    return run(x, std::span(&whole, 1), core::pass::prefill);
}

template <class Config, class Storage>
outputs parts<Config, Storage>::add(std::span<const token> next, std::span<nn::kv_cache* const> caches) {
    const core::arena::frame frame(ctx.scratch);
    matrix_view x = model_detail::embed(net, {}, next, ctx);
    std::vector<nn::sequence> sequences;
    for (std::size_t i = 0; i < caches.size(); ++i) sequences.push_back({.cache = caches[i], .first = i, .count = 1});
    return run(x, sequences, core::pass::step);
}

template <class Config, class Storage>
outputs parts<Config, Storage>::run(matrix_view& x, std::span<const nn::sequence> sequences, core::pass kind) {
    outputs out;
    out["embeddings"] = copy_of(x);
    for (const nn::sequence& one : sequences) net.decoder.extend(one.cache->capacity());
    net.decoder(x, sequences, kind, ctx, [&](std::size_t layer, const matrix_view& y) {
        out["layer." + std::to_string(layer)] = copy_of(y);
        return true;
    });
    const auto hidden = net.decoder.normalise(x, ctx);
    out["norm"] = copy_of(hidden);
    out["logits"] = copy_of(net.logits(hidden, ctx));
    return out;
}

} // namespace pali::test
