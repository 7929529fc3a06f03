// Where a checkpoint lies, for a path that may be a folder of Hugging Face's cache.
#pragma once

#include <pali/core/macros.hpp>

#include <filesystem>

namespace pali { inline namespace PALI_ABI {

/// The folder or .safetensors file that `given` means: itself; for a folder of Hugging Face's cache (models--google--paligemma2-3b-pt-224)
/// its snapshot. Throws errc::cannot_open for a path that is neither, with advice for the name of a repository on the hub
/// (google/paligemma2-3b-pt-224), and for a cache without a snapshot or with several; errc::unsupported_format for an adapter in the folder
/// (adapter_config.json), with the name of the base model: adapters are not applied.
[[nodiscard]] std::filesystem::path find_checkpoint(const std::filesystem::path& given);

/// The folder with config.json and the tokenizer: `place`, as find_checkpoint() returned it, or the folder of the file that it is.
[[nodiscard]] std::filesystem::path folder_of_checkpoint(const std::filesystem::path& place);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/core/checkpoint_place.ipp>
#endif
