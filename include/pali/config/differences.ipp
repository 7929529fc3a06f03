// Body of differences.hpp.
#pragma once

#include <pali/config/differences.hpp>

#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

PALI_INLINE std::vector<config_difference> differences(const dynamic& a, const dynamic& b) {
    std::vector<config_difference> out;
    const auto size = [&](const std::string& field, std::size_t first, std::size_t second) {
        if (first != second) out.push_back({field, std::to_string(first), std::to_string(second)});
    };
    const auto number = [&](const char* field, float first, float second) {
        if (first == second) return;
        std::ostringstream one, other;
        one << first;
        other << second;
        out.push_back({field, one.str(), other.str()});
    };
    const auto generation = [](const dynamic& of) { return of.post_norms ? "gemma2" : "gemma"; };
    if (a.post_norms != b.post_norms) out.push_back({"text_config.model_type", generation(a), generation(b)});
    size("text_config.vocab_size", a.vocab, b.vocab);
    size("text_config.hidden_size", a.hidden, b.hidden);
    size("text_config.num_hidden_layers", a.layers, b.layers);
    size("text_config.intermediate_size", a.intermediate, b.intermediate);
    size("text_config.num_attention_heads", a.heads, b.heads);
    size("text_config.num_key_value_heads", a.kv_heads, b.kv_heads);
    size("text_config.head_dim", a.head_dim, b.head_dim);
    number("text_config.query_pre_attn_scalar", a.query_pre_attn_scalar, b.query_pre_attn_scalar);
    number("text_config.attn_logit_softcapping", a.attention_softcap, b.attention_softcap);
    number("text_config.final_logit_softcapping", a.final_softcap, b.final_softcap);
    number("text_config.rope_theta", a.rope_theta, b.rope_theta);
    number("text_config.rms_norm_eps", a.norm_eps, b.norm_eps);
    if (a.layers == b.layers) // layers of models with different depths do not correspond
        for (std::size_t layer = 0; layer < a.layers; ++layer) {
            const std::size_t first = a.window(layer), second = b.window(layer);
            if (first == second) continue;
            size("text_config.sliding_window of layer " + std::to_string(layer), first, second);
            break; // one differing layer is enough
        }
    size("vision_config.image_size", a.vision.image_size, b.vision.image_size);
    size("vision_config.patch_size", a.vision.patch_size, b.vision.patch_size);
    size("vision_config.hidden_size", a.vision.hidden, b.vision.hidden);
    size("vision_config.num_hidden_layers", a.vision.layers, b.vision.layers);
    size("vision_config.intermediate_size", a.vision.intermediate, b.vision.intermediate);
    size("vision_config.num_attention_heads", a.vision.heads, b.vision.heads);
    number("vision_config.layer_norm_eps", a.vision.norm_eps, b.vision.norm_eps);
    return out;
}

}} // namespace pali::PALI_ABI
