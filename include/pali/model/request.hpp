// One question of a batch.
#pragma once

#include <pali/generate/generate_options.hpp>
#include <pali/model/image_features.hpp>

#include <span>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Images, a prompt, and options of its own. What it refers to has to live until the answer is there.
struct request {
    std::span<const image_features> images; ///< in the order that the model sees them; may be none
    std::string_view prompt;                ///< UTF-8; read_prompt() says what is taken off
    generate_options options{};             ///< of this answer alone
};

}} // namespace pali::PALI_ABI
