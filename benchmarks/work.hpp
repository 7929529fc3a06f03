// Operation and byte counts of the steps of a model, computed from its config. A multiply-add counts as two operations.
#pragma once

#include <pali/config/dynamic.hpp>
#include <pali/config/siglip_config.hpp>
#include <pali/decoder/kv_cache.hpp>
#include <pali/image/image.hpp>
#include <pali/kernels/attention/key_values.hpp>
#include <pali/weights/residency.hpp>
#include <pali/weights/storage.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

/// Operations to encode one image: linear layers and attention of the vision tower, and the projector.
inline double image_flop(const pali::dynamic& c) {
    const auto& v = c.vision;
    const double patches = static_cast<double>(pali::patch_count(v)), hidden = static_cast<double>(v.hidden),
                 layers = static_cast<double>(v.layers);
    const double block = 4 * hidden * hidden + 2 * hidden * static_cast<double>(v.intermediate);
    return 2 * patches *
               (layers * block + hidden * 3 * static_cast<double>(v.patch_size * v.patch_size) + hidden * static_cast<double>(c.hidden)) +
           4 * patches * patches * hidden * layers;
}

/// Weights in the decoder matrices of all layers, without the LM head.
inline double layer_weights(const pali::dynamic& c) {
    const double hidden = static_cast<double>(c.hidden), q = static_cast<double>(c.heads * c.head_dim),
                 kv = static_cast<double>(c.kv_heads * c.head_dim);
    return static_cast<double>(c.layers) * (2 * hidden * q + 2 * hidden * kv + 3 * hidden * static_cast<double>(c.intermediate));
}

/// Operations of the prefill of `tokens` tokens, including the logits of the last one.
inline double prefill_flop(const pali::dynamic& c, double tokens) {
    return 2 * tokens * layer_weights(c) + 4 * tokens * tokens * static_cast<double>(c.heads * c.head_dim * c.layers) +
           2 * static_cast<double>(c.vocab * c.hidden);
}

/// Bits per weight of the decoder matrices, scales included.
template <class Weights>
inline constexpr double weight_bits = std::is_same_v<Weights, pali::f32>    ? 32
                                      : std::is_same_v<Weights, pali::bf16> ? 16
                                      : std::is_same_v<Weights, pali::int8> ? 8.25
                                                                            : 4.5;

/// Weight bytes read per decode step: all decoder matrices and the LM head.
template <class Weights>
double token_weight_bytes(const pali::dynamic& c) {
    return (layer_weights(c) + static_cast<double>(c.vocab * c.hidden)) * weight_bits<Weights> / 8;
}

/// Converts the value of --residency.
inline pali::residency residency_of(const std::string& name) {
    return name == "resident" ? pali::residency::resident : pali::residency::mapped;
}
inline pali::kv_type kv_type_of(const std::string& name) { return name == "bf16" ? pali::kv_type::bf16 : pali::kv_type::f32; }

/// Bytes of the KV cache for `tokens` tokens, as stored. With `seen`: only the bytes that the next decode step reads, within the sliding
/// windows.
inline double cache_bytes(const pali::dynamic& c, pali::kv_type type, double tokens, bool seen = false) {
    double of_layers = 0; // tokens, summed over all layers
    for (std::size_t i = 0; i < c.layers; ++i) {
        const double window = static_cast<double>(c.window(i));
        of_layers += seen && window > 0 ? std::min(tokens, window) : tokens;
    }
    using pali::kernels::key_values;
    constexpr std::size_t many = 4096; // tokens; a multiple of the cache's block size
    const std::size_t bytes = type == pali::kv_type::f32
                                  ? key_values<float>::elements(c.kv_heads, many, c.head_dim) * sizeof(float)
                                  : key_values<pali::core::bfloat16>::elements(c.kv_heads, many, c.head_dim) * sizeof(pali::core::bfloat16);
    return of_layers * static_cast<double>(bytes) / many;
}

/// A synthetic image at the model's input size.
inline pali::image some_image(const pali::dynamic& c) {
    pali::image image(c.vision.image_size, c.vision.image_size);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    return image;
}
