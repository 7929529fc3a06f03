// Reader for one mmapped safetensors file: a zero-copy table of tensors.
#pragma once

#include <pali/files/mmap.hpp>
#include <pali/files/tensor_table.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace files {

/// Maximum header length in bytes, as in the format's own reader (tensor.rs, MAX_HEADER_SIZE).
inline constexpr std::size_t safetensors_header_limit = 100'000'000;

/// A safetensors file: the header length in 8 bytes, a JSON header, then the data (https://github.com/huggingface/safetensors#format). The
/// file is not trusted. The constructor checks the lengths, the JSON and the dtypes, and that no shape overflows 64 bits. It also checks
/// that the tensors cover the data exactly, without overlaps or holes, so every span lies within the file. As in the format's own reader,
/// if a name occurs twice, the last tensor counts, and unknown keys are ignored.
class safetensors_file {
public:
    /// Throws errc::cannot_open, or errc::malformed_file whose message names the tensor, the value found and the value needed.
    explicit safetensors_file(const std::filesystem::path& path);

    /// All tensors by name. The reference is valid for the lifetime of this object. The bytes of the tensors stay valid when the object is
    /// moved.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// `__metadata__`: free text by key.
    [[nodiscard]] const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return m_metadata; }
    /// The tensor named `name`. Throws errc::checkpoint_mismatch if the file has no such tensor.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// The mapping that contains all tensors.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    tensor_table m_tensors;
    std::map<std::string, std::string, std::less<>> m_metadata;
};

}}} // namespace pali::PALI_ABI::files

#ifndef PALI_COMPILED
#  include <pali/files/safetensors.ipp>
#endif
