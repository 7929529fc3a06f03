// Writes config.json.
#pragma once

#include <pali/config/checkpoint_config.hpp>

#include <string>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// Returns the text of config.json with every field, in the form that transformers writes for PaliGemma. read_checkpoint_config() reads the
/// same configuration from it, except for image preprocessing, which has its own file. Throws errc::unsupported_config for sliding windows
/// that config.json cannot express: windows of different lengths, or windows in a Gemma 1 decoder.
[[nodiscard]] std::string config_json(const checkpoint_config& of);

}}} // namespace pali::PALI_ABI::config_detail

#ifndef PALI_COMPILED
#  include <pali/config/config_json.ipp>
#endif
