// One .npz archive of numpy: a table of tensors, as safetensors.hpp gives one.
#pragma once

#include <pali/files/mmap.hpp>
#include <pali/files/tensor_table.hpp>

#include <filesystem>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Most bytes that the deflated arrays of an archive may have together: 16 times what PaliGemma's mask network has.
inline constexpr std::size_t npz_inflated_limit = std::size_t{256} << 20;

/// A file as numpy.savez and savez_compressed write it: a zip archive of .npy arrays, little-endian and in C order.
/// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html and PKWARE's APPNOTE 6.3.10; zip64 is read, encryption and
/// parts on other disks are not. Nothing in the file is trusted: lengths, ranges (inside the file, without overlap), checksums, names and
/// the header of every array are checked before a tensor is handed out. An array that was stored stays in the mapping, aligned or not; a
/// deflated one is inflated into memory of this object, never further than the shape in its header says, and only where all of them
/// together claim no more than npz_inflated_limit.
class npz_file {
public:
    /// Throws errc::cannot_open; errc::malformed_file, or errc::unsupported_format for what numpy reads and this does not (Fortran order,
    /// big-endian, records, text, other compressions), with the member, what was found and what was needed.
    explicit npz_file(const std::filesystem::path& path);

    /// By the names given to savez: without ".npy". Valid as long as the object, or the one it was moved to.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// What stored arrays lie in.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    page_memory m_inflated;
    tensor_table m_tensors;
};

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/npz.ipp>
#endif
