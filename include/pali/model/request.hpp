// One request of a batch.
#pragma once

#include <pali/generate/generate_options.hpp>
#include <pali/model/image_features.hpp>

#include <span>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Images, a prompt and options. All objects that the request refers to must outlive the call.
struct request {
    std::span<const image_features> images; ///< in the order that the model sees them; may be empty
    std::string_view prompt;                ///< UTF-8; see read_prompt() for the markers that are removed
    generate_options options{};             ///< for this answer only
};

}} // namespace pali::PALI_ABI
