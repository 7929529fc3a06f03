// The parts of a model, run stage by stage, as the goldens recorded them.
#pragma once

#include "cases.hpp"

#include <pali/config/checkpoint_config.hpp>
#include <pali/image/preprocess.hpp>
#include <pali/image/read.hpp>
#include <pali/model/network.hpp>
#include <pali/model/prefill.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace pali::test {

/// Everything a forward pass leaves, by the names of the goldens.
using outputs = std::map<std::string, std::vector<float>>;

template <class Matrix>
std::vector<float> copy_of(const Matrix& m) { return {m.data(), m.data() + m.size()}; }

/// The pixels that the vision tower takes.
inline std::vector<float> pixels_of(const checkpoint_config& config, const std::string& picture) {
    const picture_config& p = config.picture;
    const preprocessing how{.width = p.width, .height = p.height, .rescale_factor = p.rescale_factor,
                            .mean = {p.mean[0], p.mean[1], p.mean[2]}, .std = {p.deviation[0], p.deviation[1], p.deviation[2]}};
    return copy_of(preprocess(read_image(data_path("models/pictures/" + picture + ".png")), how));
}

/// A network and what it works with.
template <class Config = dynamic, class Storage = f32>
struct parts {
    checkpoint_config config;
    context at;
    network<Config, Storage> net;

    explicit parts(const std::filesystem::path& folder, std::size_t threads = 2, residency where = residency::mapped)
        : parts(folder, read_checkpoint_config(folder), threads, where) {}
    /// With a configuration other than the folder's.
    parts(const std::filesystem::path& folder, checkpoint_config changed, std::size_t threads = 2, residency where = residency::mapped)
        : config(std::move(changed)), at(threads), net(folder, config, where, at, {}) {}

    /// One picture through vision tower and projector.
    outputs see(const std::string& picture) {
        const arena::frame frame(at.scratch);
        outputs out;
        const std::vector<float> pixels = pixels_of(config, picture);
        const auto x = net.vision(pixels.data(), at, [&](std::size_t layer, const matrix_view& y) {
            out[layer == 0 ? "patch_embeddings" : "vision_layer." + std::to_string(layer - 1)] = copy_of(y);
            return true;
        });
        out["vision_norm"] = copy_of(x);
        out["projected"] = copy_of(net.project(x, at));
        return out;
    }

    /// Features of the pictures of a case.
    std::vector<image_features> features(const json& images) {
        std::vector<image_features> out;
        for (const json& path : images) {
            const std::vector<float> values = see(picture_name(path)).at("projected");
            out.push_back({make_matrix(values.size() / net.config.hidden, net.config.hidden)});
            std::copy(values.begin(), values.end(), out.back().values.data());
        }
        return out;
    }

    /// Prompt and a causal suffix in one pass: embeddings, layers, norm and logits of all rows.
    outputs read(std::span<const image_features> images, std::span<const token> prompt, std::span<const token> suffix, kv_cache& cache) {
        const arena::frame frame(at.scratch);
        std::vector<token> text(prompt.begin(), prompt.end());
        text.insert(text.end(), suffix.begin(), suffix.end());
        matrix_view x = embed(net, images, text, at);
        cache.start(x.shape(0) - suffix.size());
        return run(x, cache);
    }
    outputs read(std::span<const image_features> images, std::span<const token> prompt, std::span<const token> suffix = {}) {
        kv_cache cache(net.config, room(images, prompt.size() + suffix.size()));
        return read(images, prompt, suffix, cache);
    }

    /// One more token behind what the cache holds.
    outputs add(token next, kv_cache& cache) {
        const arena::frame frame(at.scratch);
        matrix_view x = embed(net, {}, std::span(&next, 1), at);
        return run(x, cache);
    }

    /// Tokens of pictures and text.
    std::size_t room(std::span<const image_features> images, std::size_t text) const {
        for (const image_features& picture : images) text += picture.values.shape(0);
        return text;
    }

private:
    outputs run(matrix_view& x, kv_cache& cache) {
        outputs out;
        out["embeddings"] = copy_of(x);
        net.decoder.extend(cache.capacity());
        const sequence whole{.cache = &cache, .first = 0, .count = x.shape(0)};
        net.decoder(x, std::span(&whole, 1), at, [&](std::size_t layer, const matrix_view& y) {
            out["layer." + std::to_string(layer)] = copy_of(y);
            return true;
        });
        const auto hidden = net.decoder.normalise(x, at);
        out["norm"] = copy_of(hidden);
        out["logits"] = copy_of(net.decoder.logits(hidden, at));
        return out;
    }
};

/// What greedy decoding says.
inline token most_likely(std::span<const float> logits) { return static_cast<token>(std::max_element(logits.begin(), logits.end()) - logits.begin()); }

/// Natural logarithm of a token's probability, in double.
inline double logprob(std::span<const float> logits, token id) {
    double largest = -INFINITY, sum = 0;
    for (const float x : logits) largest = std::max(largest, static_cast<double>(x));
    for (const float x : logits) sum += std::exp(x - largest);
    return logits[static_cast<std::size_t>(id)] - largest - std::log(sum);
}

/// The last `rows` rows of `values`, of `width` numbers each.
inline std::span<const float> last_rows(const std::vector<float>& values, std::size_t rows, std::size_t width) {
    return std::span(values).last(rows * width);
}

} // namespace pali::test
