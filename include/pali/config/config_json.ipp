// Body of config_json.hpp.
#pragma once

#include <pali/config/config_fields.hpp>
#include <pali/config/config_json.hpp>
#include <pali/core/decimal.hpp>
#include <pali/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// Visitor of config_fields that writes a section.
struct write_fields {
    nlohmann::ordered_json& section;

    void operator()(const config_fields::generation& field, bool post_norms) const { section[field.key] = post_norms ? "gemma2" : "gemma"; }
    void operator()(const config_fields::softcap& field, float value) const {
        section[field.key] = value == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(as_written(value));
    }
    void operator()(const auto& field, std::size_t value) const { section[field.key] = value; }
    void operator()(const auto& field, float value) const { section[field.key] = as_written(value); }
};

/// Writes sliding_window and layer_types.
PALI_INLINE void write_windows(const dynamic& sizes, nlohmann::ordered_json& text) {
    std::size_t window = 0;
    nlohmann::ordered_json types = nlohmann::ordered_json::array();
    for (std::size_t layer = 0; layer < sizes.layers; ++layer) {
        const std::size_t own = sizes.window(layer);
        types.push_back(own == 0 ? "full_attention" : "sliding_attention");
        if (own == 0) continue;
        if (!sizes.post_norms)
            throw error(errc::unsupported_config, {"config.json: layer ", layer, " has a sliding window of ", own,
                                                   " tokens; a Gemma of the first generation has none"});
        if (window != 0 && own != window)
            throw error(errc::unsupported_config, {"config.json: layer ", layer, " has a sliding window of ", own,
                                                   " tokens, another layer of ", window, "; all windows must have the same length"});
        window = own;
    }
    if (!sizes.post_norms) return;
    text["sliding_window"] = window == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(window);
    text["layer_types"] = std::move(types);
}

PALI_INLINE std::string config_json(const checkpoint_config& of) {
    using json = nlohmann::ordered_json;
    json text = json::object(), vision = json::object();
    config_fields::visit_decoder(write_fields{text}, of.sizes);
    write_windows(of.sizes, text);
    text[of.sizes.post_norms ? "hidden_activation" : "hidden_act"] = "gelu_pytorch_tanh";
    text["max_position_embeddings"] = of.positions;
    vision["model_type"] = "siglip_vision_model";
    config_fields::visit_vision(write_fields{vision}, of.sizes.vision);
    vision["hidden_act"] = "gelu_pytorch_tanh";

    json top{{"architectures", {"PaliGemmaForConditionalGeneration"}},
             {"model_type", "paligemma"},
             {"image_token_index", of.image_token},
             {"projection_dim", of.sizes.hidden},
             {"bos_token_id", of.bos},
             {"eos_token_id", of.eos},
             {"pad_token_id", of.pad},
             {"tie_word_embeddings", of.tied}};
    if (of.eos.empty()) { // null means "no such token" in text_config, but "not given" at the top level
        top.erase("eos_token_id");
        text["eos_token_id"] = nullptr;
    }
    if (of.eos.size() == 1) top["eos_token_id"] = of.eos.front();
    if (!of.dtype.empty()) top["torch_dtype"] = of.dtype;
    top["text_config"] = std::move(text);
    top["vision_config"] = std::move(vision);
    return top.dump(2) + '\n';
}

}}} // namespace pali::PALI_ABI::config_detail
