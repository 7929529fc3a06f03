// Writer for safetensors files.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/write_file.hpp>
#include <pali/files/tensor_table.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace files {

/// Free text by key, stored in the header of a file.
using safetensors_metadata = std::map<std::string, std::string, std::less<>>;

/**
 * Streaming writer. The constructor takes the declarations of all tensors and writes the header. The data follow in pieces, with the
 * tensors in any order. So a file of any size can be written with the memory of one piece.
 *
 * The output is byte-identical to that of the format's own writer. The header is padded to 8 bytes, and tensors are sorted by decreasing
 * width of the dtype, then by name, so every tensor is aligned to its dtype. Until finish() is called, the data are in a temporary file
 * next to `path`. finish() replaces `path` atomically, as file_writer does, so the data may come from the very file that is replaced. If
 * `path` is a symbolic link, the link is replaced and its target kept, because the target may be a blob of the hub's cache.
 */
class safetensors_writer {
public:
    /// Declaration of a tensor.
    struct entry {
        dtype type = dtype::f32;        ///< element type
        std::vector<std::size_t> shape; ///< outermost first; empty for a scalar
    };

    /// Writes the header. Throws errc::invalid_argument for a shape or name that the format cannot represent, errc::cannot_write on I/O
    /// errors.
    safetensors_writer(std::filesystem::path path, const std::map<std::string, entry, std::less<>>& entries,
                       const safetensors_metadata& metadata = {});
    /// Appends the next little-endian bytes of a tensor. Throws errc::invalid_argument for an unknown name and for more bytes than the
    /// shape needs, errc::cannot_write on I/O errors.
    void append(std::string_view name, std::span<const std::byte> bytes);
    /// The number of bytes of a tensor that have not yet been appended. Throws errc::invalid_argument for an unknown name.
    [[nodiscard]] std::uint64_t missing(std::string_view name) const;
    /// Renames the temporary file to its final name. Throws errc::invalid_argument if a tensor is incomplete, errc::cannot_write on I/O
    /// errors.
    void finish();

private:
    struct place {
        std::uint64_t next = 0, end = 0; // file offsets: next byte to write, end of the tensor
    };

    [[noreturn]] void refuse(std::string_view name, error_text&& why) const;
    void require_written();

    std::filesystem::path m_path;
    std::map<std::string, place, std::less<>> m_places;
    std::uint64_t m_size = 0, m_at = 0; // size of the whole file, current offset of m_out
    std::optional<file_writer> m_out;   // opened after the declarations have been checked
};

/// Writes `tensors` and `metadata` to `path`; see safetensors_writer. Throws errc::invalid_argument if a tensor's bytes do not match its
/// shape, errc::cannot_write on I/O errors.
void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors, const safetensors_metadata& metadata = {});

}}} // namespace pali::PALI_ABI::files

#ifndef PALI_COMPILED
#  include <pali/files/safetensors_writer.ipp>
#endif
