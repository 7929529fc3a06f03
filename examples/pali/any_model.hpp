// A model whose variant and weight type are chosen at run time, by type erasure over the library's templates.
#pragma once

#include <pali/generate/generate_options.hpp>
#include <pali/generate/result.hpp>
#include <pali/image/image.hpp>
#include <pali/model/findings.hpp>
#include <pali/model/image_features.hpp>
#include <pali/model/load_options.hpp>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Folder, variant and weight type of a model.
struct model_choice {
    std::filesystem::path folder;
    std::string variant; ///< empty: from config.json
    std::string weights; ///< empty: as stored in the folder
    pali::load_options load;
};

class any_model {
public:
    any_model() = default;
    any_model(const any_model&) = delete;
    any_model& operator=(const any_model&) = delete;
    virtual ~any_model() = default;

    virtual pali::image_features encode(const pali::image& image, const pali::progress_callback& on_progress) = 0;
    virtual pali::generation generate(std::span<const pali::image> images, std::string_view prompt,
                                      const pali::generate_options& options) = 0;
    virtual pali::generation generate(const pali::image_features& seen, std::string_view prompt, const pali::generate_options& options) = 0;
    virtual std::vector<pali::generation> generate_each(std::span<const pali::image> images, std::string_view prompt,
                                                        const pali::generate_options& options) = 0;
    virtual std::vector<pali::findings> find_each(std::span<const pali::image> images, pali::pointing kind, std::string_view things,
                                                  const pali::find_options& options) = 0;
    virtual pali::findings find(const pali::image_features& seen, pali::pointing kind, std::string_view things,
                                const pali::find_options& options) = 0;
    virtual pali::findings read(pali::generation said, const pali::image_features& seen) = 0;
    virtual pali::score_result score(const pali::image_features& seen, std::string_view prompt, std::string_view answer) = 0;
    /// Prints a note to standard error, once, if this prompt leaves fewer positions than options.max_new_tokens. The functions that
    /// generate call it first; a caller that prints something before them should call it itself. Throws whatever layout_prompt() throws.
    virtual void note_limit(std::size_t images, std::string_view prompt, const pali::generate_options& options) = 0;
    [[nodiscard]] virtual std::string arch() const = 0;
    [[nodiscard]] virtual double load_seconds() const = 0;
    [[nodiscard]] virtual bool second_generation() const = 0; ///< whether it is PaliGemma 2

    std::string variant, weights;
};

using opener = std::unique_ptr<any_model> (*)(const model_choice&);

/// Returns the opener of a compiled variant with bfloat16 weights, or null. Each function is defined in the source that instantiates its
/// variants.
opener find_paligemma(std::string_view variant);
opener find_paligemma2(std::string_view variant);
/// Returns the opener for any variant with weights of that name; an empty name means bf16.
opener find_dynamic(std::string_view weights);

/// Loads a model with the compiled type if one fits config.json and the weights are bfloat16, otherwise with pali::dynamic.
std::unique_ptr<any_model> open_model(const model_choice& choice);

/// A string that identifies a checkpoint, wherever its folder is. It consists of the folder's name and a hash of config.json and of samples
/// of the weights. Reads about 300 KB per file.
[[nodiscard]] std::string model_fingerprint(const std::filesystem::path& folder);
