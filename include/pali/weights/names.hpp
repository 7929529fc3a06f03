// The names that published checkpoints give their tensors, and the ways in which newer ones differ.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/files/tensor_table.hpp>

#include <algorithm>
#include <string>
#include <string_view>

namespace pali::inline PALI_ABI {

/// A tensor's name as the published checkpoints write it. transformers since 4.52 puts "model." in front, drops the inner "model." of
/// the decoder, and moves the head to the top; since 5 there is no "vision_model." either, and what it saves mixes old and new.
[[nodiscard]] inline std::string published_name(std::string_view name) {
    struct renamed {
        std::string_view now, published;
    };
    static constexpr renamed prefixes[] = {
        {"model.language_model.", "language_model.model."},
        {"model.vision_tower.vision_model.", "vision_tower.vision_model."},
        {"model.vision_tower.", "vision_tower.vision_model."},
        {"vision_tower.vision_model.", "vision_tower.vision_model."},
        {"vision_tower.", "vision_tower.vision_model."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
        {"lm_head.", "language_model.lm_head."},
    };
    for (const renamed& prefix : prefixes)
        if (name.starts_with(prefix.now)) return std::string(prefix.published) + std::string(name.substr(prefix.now.size()));
    return std::string(name);
}

/// What wrappers have put before all names of a checkpoint: torch's DataParallel "module.", torch.compile "_orig_mod.", PEFT "base_model.model.", in any order. Empty where one name lacks it.
[[nodiscard]] inline std::string wrapping_prefix(const tensor_table& tensors) {
    static constexpr std::string_view wrappers[] = {"module.", "_orig_mod.", "base_model.model."};
    std::string prefix;
    for (bool found = !tensors.empty(); found;) {
        found = false;
        for (const std::string_view wrapper : wrappers) {
            const std::string longer = prefix + std::string(wrapper);
            if (!std::all_of(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.first.starts_with(longer); })) continue;
            prefix = longer;
            found = true;
        }
    }
    return prefix;
}

/// Whether a tensor is a weight of a layer of decoder or vision tower. One that the configuration has no place for would change the answer: the configuration is that of another model.
[[nodiscard]] inline bool is_of_a_layer(std::string_view published) noexcept {
    return (published.starts_with("language_model.model.layers.") || published.starts_with("vision_tower.vision_model.encoder.layers.")) &&
        (published.ends_with(".weight") || published.ends_with(".bias"));
}

/// Whether a tensor is no parameter but a buffer that old versions of transformers saved.
[[nodiscard]] inline bool is_buffer(std::string_view published) noexcept {
    return published.ends_with(".position_ids") || published.ends_with(".rotary_emb.inv_freq");
}

} // namespace pali::inline PALI_ABI
