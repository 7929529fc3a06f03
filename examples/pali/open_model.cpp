// Opens a model: with the compiled type if one fits and the weights are bfloat16, otherwise with pali::dynamic.
#include "any_model.hpp"
#include "file_content.hpp"

#include <pali/config/checkpoint_config.hpp>
#include <pali/config/registry.hpp>
#include <pali/model/quantize_checkpoint.hpp>

#include <cstdint>
#include <fstream>
#include <set>
#include <string_view>

std::unique_ptr<any_model> open_model(const model_choice& choice) {
    const std::string fitting{pali::matching_variant(pali::read_checkpoint_config(choice.folder).sizes).value_or("dynamic")};
    const std::string weights =
        choice.weights.empty() ? pali::quantized_weights(pali::files::checkpoint_files(choice.folder)) : choice.weights;
    const std::string& variant = choice.variant.empty() ? fitting : choice.variant;
    if (variant == "dynamic" || !(weights.empty() || weights == "bf16")) {
        if (variant != "dynamic" && variant != fitting)
            throw pali::error(pali::errc::config_mismatch, {choice.folder.string(), " is not a ", variant, " but ",
                                                            fitting == "dynamic" ? "a custom variant" : fitting});
        return find_dynamic(weights)(choice);
    }
    for (const auto find : {find_paligemma, find_paligemma2})
        if (const opener open = find(variant)) return open(choice);
    throw pali::error(pali::errc::unknown_variant, {"this program was built without the variant ", variant, "; use --variant dynamic"});
}

std::string model_fingerprint(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    fnv1a hash;
    std::set<fs::path> files;
    std::error_code failed;
    const fs::path at = fs::canonical(folder, failed);
    if (fs::is_regular_file(at, failed)) files.insert(at);
    for (fs::directory_iterator entry(at, failed), end; !failed && entry != end; entry.increment(failed))
        if (entry->path().extension() == ".safetensors" || entry->path().filename() == "config.json") files.insert(entry->path());
    for (const fs::path& path : files) {
        const std::uintmax_t size = fs::file_size(path, failed);
        hash.add(path.filename().string() + ' ' + std::to_string(failed ? 0 : size) + '\n');
        // Evenly spaced samples: a fine-tune changes every layer that it trains.
        constexpr std::uintmax_t samples = 64;
        std::string bytes(4096, '\0');
        std::ifstream file(path, std::ios::binary);
        for (std::uintmax_t i = 0; i < samples && file && !failed; ++i) {
            file.seekg(static_cast<std::streamoff>(size > bytes.size() ? (size - bytes.size()) / (samples - 1) * i : 0));
            file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
            hash.add(std::string_view(bytes).substr(0, static_cast<std::size_t>(file.gcount())));
        }
    }
    return at.filename().string() + ' ' + hash.digits();
}
