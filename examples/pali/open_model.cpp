// From a folder to a model: the compiled type when one fits, pali::dynamic otherwise.
#include "any_model.hpp"

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/registry.hpp>

std::unique_ptr<any_model> open_model(const model_choice& choice) {
    std::string variant = choice.variant;
    if (variant.empty()) variant = pali::matching_variant(pali::read_checkpoint_config(choice.folder).sizes).value_or("dynamic");
    for (const auto find : {find_paligemma, find_paligemma2})
        if (const opener open = find(variant)) return open(choice);
    throw pali::error(pali::errc::unknown_variant, "this program was built without the variant " + variant + "; --variant dynamic runs it");
}
