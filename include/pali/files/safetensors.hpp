// One safetensors file, mapped: a table of tensors whose bytes are those of the file.
#pragma once

#include <pali/files/mmap.hpp>
#include <pali/files/tensor_table.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Longest header that is read, bytes; the limit of the format's own reader (tensor.rs, MAX_HEADER_SIZE).
inline constexpr std::size_t safetensors_header_limit = 100'000'000;

/// A file of the format: eight bytes of length, a JSON header, then the numbers. https://github.com/huggingface/safetensors#format
/// The header is not trusted. Before a tensor is handed out, all of it is checked: lengths, JSON, types, shapes (no overflow), and that the
/// tensors cover the data exactly, without overlap or hole. So every span lies within the file. Names that occur twice and keys that the
/// format does not have are treated as by the format's own reader: the last tensor of a name counts, other keys are ignored.
class safetensors_file {
public:
    /// Throws errc::cannot_open, or errc::malformed_file with the tensor, what was found and what was needed.
    explicit safetensors_file(const std::filesystem::path& path);

    /// Valid as long as the object, or the one it was moved to.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// `__metadata__`: free text by name.
    [[nodiscard]] const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return m_metadata; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// What all tensors lie in.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    tensor_table m_tensors;
    std::map<std::string, std::string, std::less<>> m_metadata;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/safetensors.ipp>
#endif
