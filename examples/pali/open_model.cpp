// From a folder to a model: the compiled type when one fits and weights are bfloat16, pali::dynamic otherwise.
#include "any_model.hpp"

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/registry.hpp>
#include <pali/model/quantise_checkpoint.hpp>

std::unique_ptr<any_model> open_model(const model_choice& choice) {
    const std::string fitting{pali::matching_variant(pali::read_checkpoint_config(choice.folder).sizes).value_or("dynamic")};
    const std::string weights = choice.weights.empty() ? pali::quantised_weights(pali::checkpoint_files(choice.folder)) : choice.weights;
    const std::string& variant = choice.variant.empty() ? fitting : choice.variant;
    if (variant == "dynamic" || !(weights.empty() || weights == "bf16")) {
        if (variant != "dynamic" && variant != fitting)
            throw pali::error(pali::errc::config_mismatch, {choice.folder.string(), " is no ", variant, " but ", fitting == "dynamic" ? "a variant of its own" : fitting});
        return find_dynamic(weights)(choice);
    }
    for (const auto find : {find_paligemma, find_paligemma2})
        if (const opener open = find(variant)) return open(choice);
    throw pali::error(pali::errc::unknown_variant, {"this program was built without the variant ", variant, "; --variant dynamic runs it"});
}
