// Small files of a tokenizer. Implementation header.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace pali { inline namespace PALI_ABI { namespace text {

[[nodiscard]] PALI_INLINE std::string read_whole_file(const std::filesystem::path& path) {
    constexpr std::uintmax_t largest = 256u << 20; // Gemma's tokenizer.model has 4 MB
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (failure) throw error(errc::cannot_open, {path.string(), ": cannot be read: ", failure.message()});
    if (size > largest)
        throw error(errc::malformed_tokenizer, {path.string(), ": has ", size, " bytes; at most ", largest, " are supported"});
    std::ifstream in(path, std::ios::binary);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (!in || !in.read(bytes.data(), static_cast<std::streamsize>(size)))
        throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return bytes;
}

/// Texts of BOS, EOS and padding for a folder with a tokenizer.json. As in transformers, they come from tokenizer_config.json, then
/// special_tokens_map.json, then the defaults.
[[nodiscard]] PALI_INLINE std::array<std::string, 3> read_special_names(const std::filesystem::path& folder) {
    std::array<std::string, 3> names = {"<bos>", "<eos>", "<pad>"};
    constexpr const char* keys[] = {"bos_token", "eos_token", "pad_token"};
    for (const char* file : {"special_tokens_map.json", "tokenizer_config.json"}) {
        std::error_code failure;
        const std::filesystem::path path = folder / file;
        if (!std::filesystem::exists(path, failure)) continue;
        const nlohmann::json document = read_strict_json(path, errc::malformed_tokenizer);
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto found = document.find(keys[i]);
            if (found == document.end() || found->is_null()) continue;
            const nlohmann::json& name = found->is_object() ? found->value("content", nlohmann::json()) : *found;
            if (!name.is_string())
                throw error(errc::malformed_tokenizer, {path.string(), ": ", keys[i], " is ", describe_json(*found),
                                                        "; a string, or an object with \"content\", is needed"});
            names[i] = name.get<std::string>();
        }
    }
    return names;
}

}}} // namespace pali::PALI_ABI::text
