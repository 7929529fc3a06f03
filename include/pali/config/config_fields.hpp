// The single list of all fields of a configuration: their keys in config.json and their limits. Copying, comparing, reading and writing
// configurations all visit these lists. tests/config/test_config_fields.cpp fails if `dynamic` has a member that the lists lack.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace config_fields {

/// A side in pixels, from `least` to `most`. Width and height are equal.
struct side {
    const char* key;   ///< in config.json
    std::size_t least; ///< smallest value
    std::size_t most;  ///< largest value
};
/// An integer from `least` to `most`.
struct size {
    const char* key;   ///< in config.json
    std::size_t least; ///< smallest value
    std::size_t most;  ///< largest value
};
/// A finite float, above 0 or, with `allow_zero`, at least 0.
struct number {
    const char* key;          ///< in config.json
    bool allow_zero = false;  ///< whether 0 is allowed
    bool only_gemma2 = false; ///< not read for Gemma 1, where the value follows from other fields
};
/// A softcap, 0 or above. 0 means no softcap; null in config.json stands for 0.
struct softcap {
    const char* key;          ///< in config.json
    bool only_gemma2 = false; ///< always 0 for Gemma 1, whatever the file contains
};
/// The base of RoPE, which config.json can express in several forms.
struct rope_base {
    const char* key; ///< in config.json
};
/// Whether the decoder is of the second generation: "gemma2" in config.json, otherwise "gemma".
struct generation {
    const char* key; ///< in config.json
};

// Limits far above any real model, and low enough that the product of four sizes fits into 64 bits.
inline constexpr std::size_t most_width = std::size_t{1} << 20, most_heads = std::size_t{1} << 12, most_layers = std::size_t{1} << 12,
                             most_pixels_a_side = std::size_t{1} << 14, most_tokens = 0x7fffffff, most_window = 0x7fffffff;

/// Calls visit(field, member...) for each field of a vision tower. The keys are those of the section `vision_config`. Each argument models
/// the concept vision_config.
template <class Visit, class... Configs>
constexpr void visit_vision(Visit&& visit, Configs&... of) {
    visit(side{"image_size", 1, most_pixels_a_side}, of.image_size...);
    visit(side{"patch_size", 1, most_pixels_a_side}, of.patch_size...);
    visit(size{"hidden_size", 1, most_width}, of.hidden...);
    visit(size{"num_hidden_layers", 1, most_layers}, of.layers...);
    visit(size{"intermediate_size", 1, most_width}, of.intermediate...);
    visit(size{"num_attention_heads", 1, most_heads}, of.heads...);
    visit(number{"layer_norm_eps", true}, of.norm_eps...);
}

/// Same, for a decoder. The keys are those of the section `text_config`. Sliding windows are not visited, because they are a function of
/// the layer.
template <class Visit, class... Configs>
constexpr void visit_decoder(Visit&& visit, Configs&... of) {
    visit(generation{"model_type"}, of.post_norms...);
    visit(size{"vocab_size", 1, most_tokens}, of.vocab...);
    visit(size{"hidden_size", 1, most_width}, of.hidden...);
    visit(size{"num_hidden_layers", 1, most_layers}, of.layers...);
    visit(size{"intermediate_size", 1, most_width}, of.intermediate...);
    visit(size{"num_attention_heads", 1, most_heads}, of.heads...);
    visit(size{"num_key_value_heads", 1, most_heads}, of.kv_heads...);
    visit(size{"head_dim", 2, most_heads}, of.head_dim...);
    visit(number{.key = "query_pre_attn_scalar", .only_gemma2 = true}, of.query_pre_attn_scalar...);
    visit(softcap{.key = "attn_logit_softcapping", .only_gemma2 = true}, of.attention_softcap...);
    visit(softcap{"final_logit_softcapping"}, of.final_softcap...);
    visit(rope_base{"rope_theta"}, of.rope_theta...);
    visit(number{"rms_norm_eps", true}, of.norm_eps...);
}

/// Visitor that copies the second configuration to the first.
inline constexpr auto copy = [](const auto&, auto& to, const auto& from) { to = from; };

}}} // namespace pali::PALI_ABI::config_fields
