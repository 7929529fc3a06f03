// A model whose variant and weights are chosen when the program runs: the templates of the library behind one interface.
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

/// Which folder, as which variant, with which weights in memory.
struct model_choice {
    std::filesystem::path folder;
    std::string variant; ///< empty: what config.json says
    std::string weights; ///< empty: what the folder holds
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
    /// Notes on standard error, once, that this prompt leaves fewer positions than options.max_new_tokens. The functions that answer call
    /// it before they begin; callers do where they write something first. Throws what layout_prompt() throws.
    virtual void note_limit(std::size_t images, std::string_view prompt, const pali::generate_options& options) = 0;
    [[nodiscard]] virtual std::string arch() const = 0;
    [[nodiscard]] virtual double load_seconds() const = 0;
    [[nodiscard]] virtual bool second_generation() const = 0; ///< PaliGemma 2

    std::string variant, weights;
};

using opener = std::unique_ptr<any_model> (*)(const model_choice&);

/// The opener of a compiled variant, with weights in bfloat16, or null. Each is defined in the source that instantiates those variants.
opener find_paligemma(std::string_view variant);
opener find_paligemma2(std::string_view variant);
/// The opener for weights of that name, bf16 where it is empty, of any variant.
opener find_dynamic(std::string_view weights);

/// Loads with the compiled type when one fits config.json and weights are bfloat16, with pali::dynamic otherwise.
std::unique_ptr<any_model> open_model(const model_choice& choice);

/// What tells a checkpoint from others wherever its folder is: the name of the folder, and a hash of config.json and of samples of the
/// weights. Reads some 300 KB a file.
[[nodiscard]] std::string model_fingerprint(const std::filesystem::path& folder);
