// Where a checkpoint lies, for a path that may be a folder of Hugging Face's cache.
#pragma once

#include <pali/core/macros.hpp>

#include <filesystem>

namespace pali::inline PALI_ABI {

/// The folder or file that `given` means: itself; for a folder of Hugging Face's cache (models--google--paligemma2-3b-pt-224) its snapshot.
/// Throws errc::cannot_open for the name of a repository on the hub (google/paligemma2-3b-pt-224) that is no folder here, and for a cache without a snapshot or with several;
/// errc::unsupported_format for a folder with an adapter in it (adapter_config.json), with the name of the base model: adapters are not applied. What else is
/// not there is left to the readers of files.
[[nodiscard]] std::filesystem::path find_checkpoint(const std::filesystem::path& given);

} // namespace pali::inline PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/core/checkpoint_place.ipp>
#endif
