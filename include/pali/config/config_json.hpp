// Writes config.json.
#pragma once

#include <pali/config/checkpoint_config.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI {

/// config.json of a model, with every field, in the form that transformers writes for PaliGemma. read_checkpoint_config() reads the same
/// configuration from it, apart from image preprocessing, which has a file of its own. Throws errc::unsupported_config for sliding windows
/// that config.json cannot express: of two lengths, or in a decoder of the first generation.
[[nodiscard]] std::string config_json(const checkpoint_config& of);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/config_json.ipp>
#endif
