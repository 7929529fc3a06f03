// The parts of a model, run stage by stage as recorded in the goldens.
#pragma once

#include "cases.hpp"

#include <pali/config/checkpoint_config.hpp>
#include <pali/model/network.hpp>
#include <pali/model/prefill.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace pali::test {

/// All outputs of a forward pass, by their names in the goldens.
using outputs = std::map<std::string, std::vector<float>>;

/// The preprocessed pixels, as passed to the vision tower.
std::vector<float> pixels_of(const checkpoint_config& config, const std::string& image);

/// A network and its context. The bodies are in parts.ipp. A network is slow to compile, so the instantiations below are compiled only
/// once.
template <class Config = dynamic, class Storage = f32>
struct parts {
    checkpoint_config config;
    core::context ctx;
    nn::network<Config, Storage> net;

    explicit parts(const std::filesystem::path& folder, std::size_t threads = 2, residency where = residency::mapped)
        : parts(folder, read_checkpoint_config(folder), threads, where) {}
    /// Uses a configuration that differs from that of the folder.
    parts(const std::filesystem::path& folder, checkpoint_config changed, std::size_t threads = 2, residency where = residency::mapped);

    /// Encodes one image: vision tower and projector.
    outputs see(const std::string& image);

    /// Encodes the images of a case.
    std::vector<image_features> features(const json& images);

    /// Runs the prompt and a causal suffix in one pass. Returns embeddings, layers, norm, and the logits of all rows.
    outputs read(std::span<const image_features> images, std::span<const token> prompt, std::span<const token> suffix, nn::kv_cache& cache);
    outputs read(std::span<const image_features> images, std::span<const token> prompt, std::span<const token> suffix = {}) {
        nn::kv_cache cache(net.config, room(images, prompt.size() + suffix.size()));
        return read(images, prompt, suffix, cache);
    }

    /// One decode step.
    outputs add(token next, nn::kv_cache& cache) {
        nn::kv_cache* const only = &cache;
        return add(std::span(&next, 1), std::span(&only, 1));
    }
    /// One decode step for several caches in one pass.
    outputs add(std::span<const token> next, std::span<nn::kv_cache* const> caches);

    /// Tokens of images and text.
    std::size_t room(std::span<const image_features> images, std::size_t text) const {
        for (const image_features& image : images) text += image.values.shape(0);
        return text;
    }

private:
    outputs run(matrix_view& x, std::span<const nn::sequence> sequences, core::pass kind);
};

extern template struct parts<dynamic, f32>;
extern template struct parts<dynamic, bf16>;

/// The greedy choice.
inline token most_likely(std::span<const float> logits) {
    return static_cast<token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// The natural logarithm of a token's probability, in double.
inline double logprob(std::span<const float> logits, token id) {
    double largest = -INFINITY, sum = 0;
    for (const float x : logits) largest = std::max(largest, static_cast<double>(x));
    for (const float x : logits) sum += std::exp(x - largest);
    return logits[static_cast<std::size_t>(id)] - largest - std::log(sum);
}

/// The last `rows` rows of `values`, which has rows of `width` elements.
inline std::span<const float> last_rows(const std::vector<float>& values, std::size_t rows, std::size_t width) {
    return std::span(values).last(rows * width);
}

} // namespace pali::test
