// Instantiates pali::dynamic, which reads its sizes at run time: one type per weight type and not one per variant.
#include "runner.hpp"

opener find_dynamic(std::string_view weights) {
    if (weights == "f32") return open_as<pali::dynamic, pali::f32>;
    if (weights == "int8") return open_as<pali::dynamic, pali::int8>;
    if (weights == "int4") return open_as<pali::dynamic, pali::int4>;
    return open_as<pali::dynamic, pali::bf16>;
}
