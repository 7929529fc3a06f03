// Tensors to a safetensors file.
#pragma once

#include <pali/files/tensor_table.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace pali::inline PALI_ABI {

/// Writes `tensors` and `metadata` to `path`, the bytes that the format's own writer would: wide types first, then by name, after a
/// header padded to 8; so every tensor is aligned to its type. The file appears at once and whole, or not at all: a name beside it is
/// written and renamed. What the tensors point to may thus be the very file that is replaced.
/// Throws errc::invalid_argument when a tensor's bytes do not fit its shape, errc::cannot_write when the disk refuses.
void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors,
                       const std::map<std::string, std::string, std::less<>>& metadata = {});

} // namespace pali::inline PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/safetensors_writer.ipp>
#endif
