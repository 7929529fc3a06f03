// Finds the checkpoint at a path, which may be a folder of the Hugging Face cache.
#pragma once

#include <pali/core/macros.hpp>

#include <filesystem>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Resolves `given` to a checkpoint: a folder or a .safetensors file is returned as is; a folder of the Hugging Face cache
/// (models--google--paligemma2-3b-pt-224) becomes its snapshot. Throws errc::cannot_open for any other path, and for a cache folder without
/// a snapshot or with several. If the path looks like the name of a repository on the hub (google/paligemma2-3b-pt-224), the message says
/// how to download it. Throws errc::unsupported_format if the folder holds an adapter (adapter_config.json), because adapters are not
/// applied; the message names the base model.
[[nodiscard]] std::filesystem::path find_checkpoint(const std::filesystem::path& given);

/// The folder with config.json and the tokenizer: `place`, as returned by find_checkpoint(), or its parent folder if it is a file.
[[nodiscard]] std::filesystem::path folder_of_checkpoint(const std::filesystem::path& place);

}}} // namespace pali::PALI_ABI::core

#ifndef PALI_COMPILED
#  include <pali/core/checkpoint_place.ipp>
#endif
