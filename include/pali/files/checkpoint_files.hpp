// The weights of a checkpoint, one safetensors file or several shards, as one tensor table.
#pragma once

#include <pali/core/short_list.hpp>
#include <pali/files/safetensors.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace files {

/// An open Hugging Face folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names, or, without an index, all of
/// model-00001-of-00002.safetensors and so on. The files stay mmapped for the lifetime of the object. The bytes of the tensors stay valid
/// when the object is moved.
class checkpoint_files {
public:
    /// `given` is a checkpoint as find_checkpoint() accepts it: a folder or one .safetensors file. Throws what find_checkpoint() throws.
    /// Throws errc::cannot_open if shards are missing, and lists them; without an index, the set of shards must be complete. Throws
    /// errc::malformed_file if a file or index violates the format, or if the index names a shard outside the folder.
    explicit checkpoint_files(const std::filesystem::path& given);

    /// The tensors of all files.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The mmapped files, sorted by name.
    [[nodiscard]] const std::vector<safetensors_file>& files() const noexcept { return m_files; }
    /// Differences between the index and the shards: tensors in the index that are not in their shard, and the reverse. Without an index:
    /// tensors that occur in several shards. The table contains the tensors of all shards. For a tensor that occurs in several shards, it
    /// contains the copy to which the index points, otherwise the first one.
    [[nodiscard]] const short_list& differences() const noexcept { return m_differences; }
    /// The tensor named `name`. Throws errc::checkpoint_mismatch if the checkpoint has no such tensor.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;
    /// The metadata text under `key` in the first file that has it; empty if there is none.
    [[nodiscard]] std::string metadata(std::string_view key) const;
    /// The metadata of all files.
    [[nodiscard]] std::map<std::string, std::string, std::less<>> metadata() const;
    /// Calls mapped_file::forget on the file that contains `part`.
    void forget(std::span<const std::byte> part) const noexcept {
        for (const safetensors_file& file : m_files) file.file().forget(part);
    }
    /// Whether the checkpoint was given as a single file that has the name of a shard (model-00001-of-00002.safetensors).
    [[nodiscard]] bool is_shard() const;
    /// The path as given; for a folder of the Hugging Face cache, its snapshot.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

private:
    void open_indexed(const std::filesystem::path& index);
    void open_shards(const std::set<std::string>& shards, const std::map<std::string, std::string, std::less<>>& shard_of);

    std::filesystem::path m_path;
    std::vector<safetensors_file> m_files;
    tensor_table m_tensors;
    short_list m_differences;
};

/// Reads the weight_map of an index file, tensor name -> shard name. Throws errc::cannot_open. Throws errc::malformed_file if a shard is
/// not a .safetensors file in the same folder.
[[nodiscard]] std::map<std::string, std::string, std::less<>> read_shard_index(const std::filesystem::path& index);

/// Whether files with this extension, such as ".bin", hold weights in any checkpoint format.
[[nodiscard]] bool holds_weights(std::string_view ending) noexcept;

}}} // namespace pali::PALI_ABI::files

#ifndef PALI_COMPILED
#  include <pali/files/checkpoint_files.ipp>
#endif
