// Body of checkpoint_files.hpp.
#pragma once

#include <pali/core/checkpoint_place.hpp>
#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/files/checkpoint_files.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace files {

PALI_INLINE bool holds_weights(std::string_view ending) noexcept {
    constexpr std::array<std::string_view, 6> endings{".safetensors", ".bin", ".gguf", ".npz", ".pt", ".sbs"};
    return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

/// Explains why a folder has no readable weights, as far as its contents show the reason.
[[nodiscard]] PALI_INLINE std::string describe_other_weights(const std::filesystem::path& folder) {
    std::set<std::string> others;
    std::error_code failure;
    for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure))
        if (holds_weights(it->path().extension().string())) others.insert(it->path().filename().string());
    if (others.empty()) return "";
    short_list names;
    for (const std::string& name : others) names.add(in_quotes(name));
    return "; it contains " + names.in_a_row() +
           ": to read one .safetensors file alone, pass the file itself; convert other formats with transformers' save_pretrained";
}

/// The two numbers in a file name of the form model-00001-of-00002.safetensors.
struct shard_number {
    std::size_t number = 0, count = 0;
};
[[nodiscard]] PALI_INLINE std::optional<shard_number> parse_shard_name(std::string_view name) {
    constexpr std::string_view form = "model-00000-of-00000.safetensors"; // 0 stands for any digit
    constexpr std::size_t number_at = 6, count_at = 15, digits = 5;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::equal(name.begin(), name.end(), form.begin(), form.end(),
                    [&](char given, char wanted) { return wanted == '0' ? is_digit(given) : given == wanted; }))
        return std::nullopt;
    const auto read = [&](std::size_t at) {
        std::size_t value = 0;
        for (const char c : name.substr(at, digits)) value = value * 10 + static_cast<std::size_t>(c - '0');
        return value;
    };
    const shard_number out{read(number_at), read(count_at)};
    return out.number >= 1 && out.number <= out.count ? std::optional(out) : std::nullopt;
}

/// Finds the shards of a folder without an index: all model-N-of-COUNT.safetensors. Empty if there are none. Throws errc::cannot_open with
/// the missing shards, or if there are shards of several sets.
[[nodiscard]] PALI_INLINE std::set<std::string> find_shards(const std::filesystem::path& folder) {
    std::map<std::size_t, std::set<std::size_t>> sets; // count -> numbers
    std::set<std::string> found;
    std::error_code failure;
    for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure)) {
        const std::string name = it->path().filename().string();
        const auto shard = parse_shard_name(name);
        if (!shard) continue;
        sets[shard->count].insert(shard->number);
        found.insert(name);
    }
    if (sets.empty()) return found;
    const auto& [count, numbers] = *sets.begin();
    const char* const cure = "; download the missing files again, or model.safetensors.index.json, which lists the shards of the set";
    if (sets.size() > 1)
        throw error(errc::cannot_open,
                    {folder.string(), ": has no model.safetensors.index.json, and its shards belong to several sets, of ", count,
                     " and of ", sets.rbegin()->first, " files", cure});
    short_list absent;
    for (std::size_t number = 1; number <= count; ++number) {
        const std::string text = std::to_string(number);
        if (!numbers.contains(number)) absent.add({std::string(5 - text.size(), '0'), text});
    }
    if (!absent.empty())
        throw error(errc::cannot_open, {folder.string(), ": has no model.safetensors.index.json, and only ", numbers.size(), " of the ",
                                        count, " shards; missing: ", absent.in_a_row(), cure});
    return found;
}

/// Whether `name` is a plain file name: no folder, no drive, no parent.
[[nodiscard]] PALI_INLINE bool is_plain_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == std::string::npos &&
           std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

PALI_INLINE std::map<std::string, std::string, std::less<>> read_shard_index(const std::filesystem::path& index) {
    const nlohmann::json document = read_strict_json(index, errc::malformed_file);
    const auto fail = [&](error_text&& what) { throw error(errc::malformed_file, {index.string(), ": ", std::move(what).str()}); };
    const auto weight_map = document.find("weight_map");
    if (weight_map == document.end()) fail("has no 'weight_map', the object that maps each tensor to its shard");
    if (!weight_map->is_object()) fail({"'weight_map' is ", weight_map->type_name(), "; an object is needed"});
    if (weight_map->empty()) fail("'weight_map' is empty; it must map each tensor to its shard");
    std::map<std::string, std::string, std::less<>> shards;
    for (const auto& [tensor, shard] : weight_map->get_ref<const nlohmann::json::object_t&>()) {
        if (!shard.is_string())
            fail({"'weight_map' has ", shard.type_name(), " at ", in_quotes(tensor), "; the name of a shard is needed"});
        const std::string name = shard.get<std::string>();
        if (!is_plain_name(name))
            fail({"'weight_map' maps tensor ", in_quotes(tensor), " to ", in_quotes(name),
                  "; a shard must be in the same folder, so its name must not contain / \\ or :"});
        if (!name.ends_with(".safetensors"))
            fail({"'weight_map' maps tensor ", in_quotes(tensor), " to ", in_quotes(name),
                  "; the name of a shard must end with .safetensors"});
        shards.emplace(tensor, name);
    }
    return shards;
}

PALI_INLINE checkpoint_files::checkpoint_files(const std::filesystem::path& given) : m_path(find_checkpoint(given)) {
    const std::filesystem::path& path = m_path;
    std::error_code failure;
    if (!std::filesystem::is_directory(path, failure)) {
        m_files.emplace_back(path);
        m_tensors = m_files.front().tensors();
        return;
    }
    const std::filesystem::path whole = path / "model.safetensors", index = path / "model.safetensors.index.json";
    // model.safetensors takes precedence over an index, as in transformers (modeling_utils.py, _get_resolved_checkpoint_files).
    if (std::filesystem::exists(whole, failure)) {
        m_files.emplace_back(whole);
        m_tensors = m_files.front().tensors();
    } else if (std::filesystem::exists(index, failure)) {
        open_indexed(index);
    } else if (const std::set<std::string> shards = find_shards(path); !shards.empty()) {
        open_shards(shards, {});
    } else {
        throw error(errc::cannot_open,
                    {path.string(), ": has neither model.safetensors nor model.safetensors.index.json", describe_other_weights(path)});
    }
}

PALI_INLINE void checkpoint_files::open_indexed(const std::filesystem::path& index) {
    const auto shard_of = read_shard_index(index);
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : shard_of) shards.insert(shard);

    short_list absent;
    for (const std::string& shard : shards) {
        std::error_code failure;
        if (!std::filesystem::exists(m_path / shard, failure)) absent.add(in_quotes(shard));
    }
    if (!absent.empty())
        throw error(errc::cannot_open, {index.string(), ": lists shards that are not in the folder: ", absent.in_a_row(),
                                        "; was the checkpoint downloaded completely?"});

    open_shards(shards, shard_of);
    for (const auto& [name, shard] : shard_of)
        if (!m_tensors.contains(name)) m_differences.add({in_quotes(name), " is not in any shard; the index says ", in_quotes(shard)});
}

PALI_INLINE void checkpoint_files::open_shards(const std::set<std::string>& shards,
                                               const std::map<std::string, std::string, std::less<>>& shard_of) {
    m_files.reserve(shards.size());
    for (const std::string& shard : shards) {
        const safetensors_file& file = m_files.emplace_back(m_path / shard);
        for (const auto& [name, tensor] : file.tensors()) {
            const auto promised = shard_of.find(name);
            if (promised != shard_of.end() && promised->second == shard) {
                m_tensors.insert_or_assign(name, tensor);
                continue;
            }
            const auto [first, is_new] = m_tensors.emplace(name, tensor);
            if (shard_of.empty() && is_new) continue;
            if (shard_of.empty())
                m_differences.add({in_quotes(name), " is in ", in_quotes(shard), " and in ",
                                   in_quotes(std::filesystem::path(first->second.file).filename().string()), "; there is no index"});
            else if (promised == shard_of.end())
                m_differences.add({in_quotes(name), " is in ", in_quotes(shard), "; the index does not list it"});
            else m_differences.add({in_quotes(name), " is in ", in_quotes(shard), "; the index says ", in_quotes(promised->second)});
        }
    }
}

PALI_INLINE const tensor_info& checkpoint_files::at(std::string_view name) const { return tensor_of(m_tensors, name, m_path); }

PALI_INLINE bool checkpoint_files::is_shard() const {
    const auto shard = parse_shard_name(m_path.filename().string());
    return shard && shard->count > 1;
}

PALI_INLINE std::map<std::string, std::string, std::less<>> checkpoint_files::metadata() const {
    std::map<std::string, std::string, std::less<>> all;
    for (const safetensors_file& file : m_files) all.insert(file.metadata().begin(), file.metadata().end());
    return all;
}

PALI_INLINE std::string checkpoint_files::metadata(std::string_view key) const {
    for (const safetensors_file& file : m_files)
        if (const auto found = file.metadata().find(key); found != file.metadata().end()) return found->second;
    return {};
}

}}} // namespace pali::PALI_ABI::files
