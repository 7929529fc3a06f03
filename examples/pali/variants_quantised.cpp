// Quantised weights, with the sizes of each checkpoint read when the program runs: two more types to compile, and not two for each variant.
#include "runner.hpp"

opener find_quantised(std::string_view weights) {
    if (weights == "int8") return [](const model_choice& choice) -> std::unique_ptr<any_model> { return std::make_unique<runner<pali::dynamic, pali::int8>>(choice); };
    if (weights == "int4") return [](const model_choice& choice) -> std::unique_ptr<any_model> { return std::make_unique<runner<pali::dynamic, pali::int4>>(choice); };
    return nullptr;
}
