// Tensors to a safetensors file.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/files/tensor_table.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Free text by name, for the head of a file.
using safetensors_metadata = std::map<std::string, std::string, std::less<>>;

/**
 * A file whose tensors are known before their numbers: the header is written first, then come the numbers, in pieces, in any order of
 * tensors. So a file of any size is written in the memory of a piece.
 *
 * The bytes are those that the format's own writer would write: wide types first, then by name, after a header padded to 8; so every tensor
 * is aligned to its type. The file appears at once and whole, by finish(), or not at all: a name beside it is written and renamed. What is
 * appended may thus come from the very file that is replaced.
 */
class safetensors_writer {
public:
    /// What a file will hold under a name.
    struct entry {
        dtype type = dtype::f32;        ///< of its numbers
        std::vector<std::size_t> shape; ///< outermost first; empty for a scalar
    };

    /// Writes the header. Throws errc::invalid_argument for a shape or name that the format cannot hold, errc::cannot_write when the disk
    /// refuses.
    safetensors_writer(std::filesystem::path path, const std::map<std::string, entry, std::less<>>& entries,
                       const safetensors_metadata& metadata = {});
    /// Without finish(): nothing is left.
    ~safetensors_writer();
    safetensors_writer(const safetensors_writer&) = delete;
    safetensors_writer& operator=(const safetensors_writer&) = delete;

    /// The next bytes of a tensor, little-endian, behind those that were appended to it before. Throws errc::invalid_argument for a name
    /// that the header does not have and for more bytes than its shape has room for, errc::cannot_write.
    void append(std::string_view name, std::span<const std::byte> bytes);
    /// How many bytes of a tensor are still to be appended. Throws errc::invalid_argument for a name that the header does not have.
    [[nodiscard]] std::uint64_t missing(std::string_view name) const;
    /// Gives the file its name. Throws errc::invalid_argument when a tensor has not all its bytes, errc::cannot_write.
    void finish();

private:
    struct place {
        std::uint64_t next = 0, end = 0; // in the file: where the next bytes go, and where they must end
    };

    [[noreturn]] void refuse(std::string_view name, const error_text& why) const;
    [[noreturn]] void fail(const error_text& why);
    void remove_unfinished() noexcept;

    std::filesystem::path m_path, m_unfinished;
    std::map<std::string, place, std::less<>> m_places;
    std::uint64_t m_size = 0, m_at = 0; // of the whole file, and where its stream stands
    std::ofstream m_out;
    bool m_finished = false;
};

/// Writes `tensors` and `metadata` to `path`, in one go; see safetensors_writer.
/// Throws errc::invalid_argument when a tensor's bytes do not fit its shape, errc::cannot_write when the disk refuses.
void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors, const safetensors_metadata& metadata = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/safetensors_writer.ipp>
#endif
