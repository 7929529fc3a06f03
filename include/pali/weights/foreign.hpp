// Detects weights that other programs quantized, and unmerged adapters, by their tensor names.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/files/tensor_table.hpp>

#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// The unsupported format of quantized weights: "AWQ", "GPTQ", "MLX", "bitsandbytes", "compressed-tensors" or "FP8 with scales"; empty for
/// unquantized weights and for pali's own format.
[[nodiscard]] inline std::string_view foreign_format(const tensor_table& tensors) {
    const auto find = [&](std::string_view stem, std::string_view ending) {
        const auto found = tensors.find(std::string(stem) + std::string(ending));
        return found == tensors.end() ? nullptr : &found->second;
    };
    for (const auto& [name, tensor] : tensors) {
        const std::string_view whole = name;
        const auto stem = [whole](std::string_view ending) { return whole.substr(0, whole.size() - ending.size()); };
        if (name.ends_with(".qweight")) { // eight codes per I32: AWQ packs along outputs, GPTQ along inputs
            const tensor_info* const scales = find(stem(".qweight"), ".scales");
            const bool packs_outputs =
                scales != nullptr && !scales->shape.empty() && !tensor.shape.empty() && tensor.shape.back() < scales->shape.back();
            return packs_outputs && find(stem(".qweight"), ".g_idx") == nullptr ? "AWQ" : "GPTQ";
        }
        if (name.ends_with(".absmax") || name.ends_with(".SCB") || name.find(".quant_state.bitsandbytes") != std::string::npos)
            return "bitsandbytes";
        if (name.ends_with(".scales") && find(stem(".scales"), ".weight") != nullptr) return "MLX";
        if (name.ends_with(".weight_packed")) return "compressed-tensors";
        if (name.ends_with(".weight_scale_inv")) return "FP8 with scales";
        // pali's own scales are BF16 with shape (strips, groups, rows per strip).
        if (name.ends_with(".weight_scale") && (tensor.type != dtype::bf16 || tensor.shape.size() != 3)) {
            const tensor_info* const weights = find(stem("_scale"), "");
            if (weights != nullptr && weights->type == dtype::i8) return "compressed-tensors";
            if (weights != nullptr && (weights->type == dtype::f8_e4m3 || weights->type == dtype::f8_e5m2)) return "FP8 with scales";
        }
    }
    return {};
}

/// The name of the first tensor of an unmerged PEFT adapter (LoRA, modules_to_save) that is stored together with its base weights; null if
/// there is none.
[[nodiscard]] inline const std::string* find_adapter(const tensor_table& tensors) {
    static constexpr std::string_view segments[] = {".base_layer.",       ".lora_A.",           ".lora_B.",
                                                    ".lora_embedding_A.", ".lora_embedding_B.", ".modules_to_save."};
    for (const auto& [name, tensor] : tensors)
        for (const std::string_view part : segments)
            if (('.' + name + '.').find(part) != std::string::npos) return &name;
    return nullptr;
}

/// Throws errc::unsupported_format for quantized weights in a foreign format and for a PEFT model whose adapter was not merged. `source` is
/// the checkpoint's name in the message.
inline void refuse_foreign_format(const tensor_table& tensors, const std::string& source) {
    if (const std::string* const adapter = find_adapter(tensors))
        throw error(errc::unsupported_format,
                    {source, ": contains a PEFT adapter that is not merged into its base model: tensor ", in_quotes(*adapter),
                     ". Merge and save it with model.merge_and_unload().save_pretrained(OUT), and use that folder"});
    if (const std::string_view format = foreign_format(tensors); !format.empty())
        throw error(errc::unsupported_format,
                    {source, ": contains weights in the quantized format of ", format,
                     ", which is not supported; use the original checkpoint in BF16, F16 or F32: it can be loaded as int8 or int4"});
}

}}} // namespace pali::PALI_ABI::weights
