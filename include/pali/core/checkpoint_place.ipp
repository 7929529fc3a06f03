// Bodies of checkpoint_place.hpp.
#pragma once

#include <pali/core/checkpoint_place.hpp>
#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/short_list.hpp>
#include <pali/core/strict_json.ipp>

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace core {

/// Whether `name` has the form OWNER/NAME of a repository on the hub.
[[nodiscard]] PALI_INLINE bool is_hub_name(std::string_view name) {
    const auto is_word = [](std::string_view part) {
        return !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        });
    };
    const std::size_t slash = name.find('/');
    return slash != std::string_view::npos && is_word(name.substr(0, slash)) && is_word(name.substr(slash + 1));
}

/// The only folder below snapshots/ in a folder of the hub's cache. Throws errc::cannot_open if there is none or more than one.
[[nodiscard]] PALI_INLINE std::filesystem::path only_snapshot(const std::filesystem::path& cache) {
    std::vector<std::filesystem::path> found;
    std::error_code failure, unknown;
    for (std::filesystem::directory_iterator it(cache / "snapshots", failure), end; !failure && it != end; it.increment(failure))
        if (it->is_directory(unknown)) found.push_back(it->path());
    if (found.size() == 1) return found.front();
    std::sort(found.begin(), found.end());
    short_list names;
    for (const std::filesystem::path& one : found) names.add(in_quotes(one.filename().string()));
    throw error(errc::cannot_open, {cache.string(), ": is a folder of the Hugging Face cache with ", found.size(), " snapshots",
                                    found.empty() ? "; download the model again" : ": ", names.in_a_row(),
                                    found.empty() ? "" : "; pass one of the folders in snapshots/"});
}

/// Throws errc::unsupported_format for a folder with an adapter.
PALI_INLINE void refuse_adapter(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "adapter_config.json";
    std::error_code unknown;
    if (!std::filesystem::exists(file, unknown)) return;
    const nlohmann::json adapter = read_strict_json(file, errc::malformed_config);
    const auto text = [&](const char* key) {
        const auto found = adapter.find(key);
        return found != adapter.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const std::string base = text("base_model_name_or_path"), kind = text("peft_type");
    throw error(errc::unsupported_format,
                {folder.string(), ": contains an adapter", kind.empty() ? "" : " (", kind, kind.empty() ? "" : ")", " for ",
                 base.empty() ? "an unnamed base model" : in_quotes(base),
                 ", but adapters are not supported: merge it into its base model with PEFT's merge_and_unload() and "
                 "save_pretrained(), and use the folder that they write. ",
                 "To run the base model without the adapter, move adapter_config.json away"});
}

PALI_INLINE std::filesystem::path folder_of_checkpoint(const std::filesystem::path& place) {
    std::error_code unknown;
    if (!std::filesystem::is_regular_file(place, unknown)) return place;
    return place.has_parent_path() ? place.parent_path() : std::filesystem::path(".");
}

PALI_INLINE std::filesystem::path find_checkpoint(const std::filesystem::path& given) {
    constexpr const char* wanted = "; pass a folder with config.json and *.safetensors, or one of its .safetensors files";
    std::error_code failure;
    const std::filesystem::file_status status = std::filesystem::status(given, failure);
    if (status.type() == std::filesystem::file_type::not_found) {
        if (is_hub_name(given.generic_string()))
            throw error(errc::cannot_open,
                        {given.string(),
                         ": no such folder. It looks like a repository on the Hugging Face hub: download it with hf download ",
                         given.generic_string(), " --local-dir DIR, and pass that folder"});
        throw error(errc::cannot_open, {given.string(), ": no such folder or file", wanted});
    }
    if (!std::filesystem::exists(status)) throw error(errc::cannot_open, {given.string(), ": cannot be reached: ", failure.message()});
    std::filesystem::path place = given;
    if (std::filesystem::is_directory(status)) {
        std::error_code unknown;
        const bool is_cache =
            !std::filesystem::exists(given / "config.json", unknown) && std::filesystem::is_directory(given / "snapshots", unknown);
        if (is_cache) place = only_snapshot(given);
    } else if (!std::filesystem::is_regular_file(status) || given.extension() != ".safetensors") {
        throw error(errc::cannot_open, {given.string(), ": is neither a folder nor a .safetensors file", wanted});
    }
    refuse_adapter(folder_of_checkpoint(place));
    return place;
}

}}} // namespace pali::PALI_ABI::core
