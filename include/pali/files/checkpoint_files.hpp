// The weights of a checkpoint: one safetensors file or all its shards, as one table.
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

namespace pali { inline namespace PALI_ABI {

/// A Hugging Face folder, opened: `model.safetensors`, or the shards that `model.safetensors.index.json` names, or without an index all of
/// model-00001-of-00002.safetensors and so on. The files stay mapped as long as the object lives; moving it moves nothing.
class checkpoint_files {
public:
    /// `given` is the folder, as find_checkpoint() takes it, or one .safetensors file. Throws what find_checkpoint() throws,
    /// errc::cannot_open (with the shards that are missing; a set without an index has to be complete), and errc::malformed_file for a file
    /// or index that contradicts the format or names a shard outside the folder.
    explicit checkpoint_files(const std::filesystem::path& given);

    /// Tensors of all files.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The mapped files, in the order of their names.
    [[nodiscard]] const std::vector<safetensors_file>& files() const noexcept { return m_files; }
    /// Tensors that the index promises and its shard lacks, and the reverse; without an index, tensors that several shards hold. All
    /// tensors of the shards are in the table; of one that several shards hold, the one that the index points to, or the first.
    [[nodiscard]] const short_list& differences() const noexcept { return m_differences; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;
    /// The text that the first file to have one keeps under `key`; empty where none does.
    [[nodiscard]] std::string metadata(std::string_view key) const;
    /// All such texts.
    [[nodiscard]] std::map<std::string, std::string, std::less<>> metadata() const;
    /// mapped_file::forget, for the file that `part` lies in.
    void forget(std::span<const std::byte> part) const noexcept {
        for (const safetensors_file& file : m_files) file.file().forget(part);
    }
    /// Whether one file was given that is, by its name, a shard of several (model-00001-of-00002.safetensors).
    [[nodiscard]] bool is_shard() const;
    /// As it was given, or the snapshot in it.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

private:
    void open_indexed(const std::filesystem::path& index);
    void open_shards(const std::set<std::string>& shards, const std::map<std::string, std::string, std::less<>>& shard_of);

    std::filesystem::path m_path;
    std::vector<safetensors_file> m_files;
    tensor_table m_tensors;
    short_list m_differences;
};

/// The shard of every tensor, as an index file's weight_map says it. Throws errc::cannot_open or errc::malformed_file: the names of
/// shards are names of .safetensors files in the same folder, and none leads out of it.
[[nodiscard]] std::map<std::string, std::string, std::less<>> read_shard_index(const std::filesystem::path& index);

/// Whether files with this ending, ".bin" for instance, hold weights in any of the formats that checkpoints come in.
[[nodiscard]] bool holds_weights(std::string_view ending) noexcept;

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/files/checkpoint_files.ipp>
#endif
