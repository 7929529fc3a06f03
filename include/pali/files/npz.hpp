// Reader for numpy's .npz archives: a table of tensors, like safetensors.hpp.
#pragma once

#include <pali/files/mmap.hpp>
#include <pali/files/tensor_table.hpp>

#include <filesystem>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace files {

/// Maximum total size of the deflated arrays of an archive, in bytes: 16 times the size of PaliGemma's mask decoder.
inline constexpr std::size_t npz_inflated_limit = std::size_t{256} << 20;

/// An archive of numpy.savez or savez_compressed: a zip archive of .npy arrays, little-endian and in C order.
/// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html and PKWARE's APPNOTE 6.3.10; zip64 is supported, encryption and
/// multi-disk archives are not. The file is not trusted: lengths, ranges (inside the file, no overlap), checksums, names and the header of
/// every array are checked before a tensor is returned. A stored array is used in place, aligned or not. A deflated array is inflated into
/// memory of this object, never beyond the size that its header implies. All deflated arrays together may not exceed npz_inflated_limit.
class npz_file {
public:
    /// Throws errc::cannot_open and errc::malformed_file. Throws errc::unsupported_format for arrays that numpy supports but this reader
    /// does not (Fortran order, big-endian, records, text, other compressions). The message names the member, the value found and the value
    /// needed.
    explicit npz_file(const std::filesystem::path& path);

    /// All tensors by the names given to savez, without ".npy". The reference is valid for the lifetime of this object. The bytes of the
    /// tensors stay valid when the object is moved.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The tensor named `name`. Throws errc::checkpoint_mismatch if the archive has no such tensor.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// The mapping that contains the stored arrays.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    page_memory m_inflated;
    tensor_table m_tensors;
};

}}} // namespace pali::PALI_ABI::files

#ifndef PALI_COMPILED
#  include <pali/files/npz.ipp>
#endif
