// The model class: opens a checkpoint folder and answers prompts about images. The bodies are in model.ipp.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/core/progress.hpp>
#include <pali/image/image.hpp>
#include <pali/model/can_serve.hpp>
#include <pali/model/findings.hpp>
#include <pali/model/load_options.hpp>
#include <pali/model/request.hpp>
#include <pali/text/prompt.hpp>
#include <pali/weights/storage.hpp>

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// The inline namespace of the model. It is the same in every source that links pali::compiled. In header-only use it is PALI_SIMD, which
/// depends on the compiler flags.
#ifdef PALI_COMPILED
#  ifdef PALI_COMPILED_VARIANTS
#    include <pali/config/registry.hpp>
#  endif
#  define PALI_MODEL compiled
#else
#  include <pali/arch/simd.hpp>
#  define PALI_MODEL PALI_SIMD
#endif

namespace pali { inline namespace PALI_ABI { inline namespace PALI_MODEL {

/// Whether the bodies of a model type are available: from model.ipp in this source, or compiled elsewhere.
template <class Config, class Weights>
struct model_bodies {
#ifdef PALI_COMPILED
    static constexpr bool available = std::is_same_v<Config, dynamic>; ///< whether a source may use the type
#else
    static constexpr bool available = true; ///< whether a source may use the type
#endif
};

/**
 * PaliGemma or PaliGemma 2. `Config` fixes the variant at compile time, or is `dynamic`. `Weights` is the storage type of the matrices:
 * `bf16`, `f32`, `int8` or `int4`.
 *
 * Calls on one model are serialized. A callback that calls its own model gets errc::invalid_argument. Two models run concurrently, each
 * with its own threads. All calls throw errc::invalid_argument for options out of range, for empty images, and for features whose width is
 * not that of the model.
 */
template <model_config Config = dynamic, weight_storage Weights = bf16>
class model {
    static_assert(model_bodies<Config, Weights>::available,
                  "this model type was not compiled: include <pali/model.ipp> in the source that uses it (with the single header, define "
                  "PALI_OWN_VARIANT before it is included), name it in the CMake variable PALI_VARIANTS, or link pali::pali instead of "
                  "pali::compiled");
    static_assert(can_store<Config, Weights>,
                  "the matrices of this variant cannot be int8 or int4, which need a multiple of 8 rows and of 64 (int8) or 32 (int4) "
                  "columns: use bf16 or f32");
    static_assert(can_see<Config, 1>,
                  "one image of this variant has more tokens than the variant has positions: use a smaller image_size, or "
                  "correct `positions` if max_position_embeddings of config.json is larger");

public:
    /// Opens a Hugging Face folder: config.json, tokenizer.model or tokenizer.json, safetensors, and optional files. Throws what
    /// read_checkpoint_config, tokenizer, checkpoint_files and network throw. The message of each pali::error says what to do.
    explicit model(const std::filesystem::path& folder, const load_options& options = {});
    /// Stops the threads and frees the memory.
    ~model();
    /// Moves the model. The source can only be assigned to or destroyed.
    model(model&&) noexcept;
    /// Moves the model. The source can only be assigned to or destroyed.
    model& operator=(model&&) noexcept;

    /// The configuration that the model runs with.
    [[nodiscard]] const Config& config() const noexcept;
    /// The contents of the checkpoint's JSON files.
    [[nodiscard]] const checkpoint_config& checkpoint() const noexcept;
    /// The tokenizer of the checkpoint.
    [[nodiscard]] const tokenizer& text() const noexcept;
    /// The instruction sets that the kernels use, for example "simd:avx512bw vnni amx".
    [[nodiscard]] static std::string arch();
    /// The load time in seconds.
    [[nodiscard]] double load_seconds() const noexcept;
    /// The number of threads, the caller's included.
    [[nodiscard]] std::size_t threads() const noexcept;

    /// Encodes an image into the features that the decoder sees: (image tokens, hidden). Encode once to ask many questions.
    /// Throws errc::cancelled if `on_progress`, stage "image", returns false.
    [[nodiscard]] image_features encode(const image& image, const progress_callback& on_progress = {});

    /// Answers a prompt about an image. If a callback cancels, returns the text so far with finish_reason::cancelled. This and the
    /// following functions throw errc::invalid_argument for invalid options and for a constraint that leaves no token; errc::malformed_file
    /// for logits that are not finite; errc::invalid_prompt and errc::missing_token for a prompt that cannot be turned into tokens.
    generation generate(const image& image, std::string_view prompt, const generate_options& options = {}) {
        return generate(std::span(&image, 1), prompt, options);
    }
    /// Answers a prompt about several images; the model sees them in that order.
    generation generate(std::span<const image> images, std::string_view prompt, const generate_options& options = {});
    /// Fails to compile, because `N` images have more tokens than the variant has positions.
    template <std::size_t N>
        requires(!can_see<Config, N>)
    generation generate(const std::array<image, N>&, std::string_view, const generate_options& = {}) {
        static_assert(can_see<Config, N>, "so many images have more tokens than the variant has positions: ask about fewer in one prompt");
        return {};
    }
    /// Answers a prompt about an already encoded image.
    generation generate(const image_features& image, std::string_view prompt, const generate_options& options = {}) {
        return generate(request{.images = std::span(&image, 1), .prompt = prompt, .options = options});
    }
    /// Answers one request.
    generation generate(const request& one);
    /// Answers several requests as one batch, in the given order. Each answer is the same as if its request were the only one. One decode
    /// step reads the weights once for all answers. Progress is reported to the first non-empty `on_progress` among the requests. A
    /// callback that returns false stops the whole batch.
    std::vector<generation> generate(std::span<const request> requests);
    /// Answers one prompt about each of several images, as one batch. All answers share the callbacks of `options`, which may take the
    /// answer's index as their first argument. Throws errc::cancelled if `on_progress` stops the encoding of an image.
    std::vector<generation> generate_each(std::span<const image> images, std::string_view prompt, const generate_options& options = {});

    /// Captions the image in the style of COCO (prompt "caption <lang>"). If a callback cancels, returns the text so far; call generate()
    /// instead to get the finish_reason.
    std::string caption(const image& image, std::string_view language = "en", const generate_options& options = {}) {
        return caption(std::span(&image, 1), language, options);
    }
    /// Captions several images together.
    std::string caption(std::span<const image> images, std::string_view language = "en", const generate_options& options = {}) {
        return generate(images, caption_prompt(language), options).text;
    }
    /// Answers a question (prompt "answer en where is the cat?").
    std::string answer(const image& image, std::string_view question, std::string_view language = "en",
                       const generate_options& options = {}) {
        return answer(std::span(&image, 1), question, language, options);
    }
    /// Answers a question about several images together.
    std::string answer(std::span<const image> images, std::string_view question, std::string_view language = "en",
                       const generate_options& options = {}) {
        return generate(images, answer_prompt(question, language), options).text;
    }

    /// Finds objects: "cat ; black dog". The model's output never causes an error: see findings::skipped. Throws errc::cancelled if
    /// `on_progress` stops the encoding of the image, and what object_constraint throws for `constrained`. A variant whose vocabulary has
    /// no room for `<loc>` tokens does not have these functions.
    findings detect(const image& image, std::string_view things, const find_options& options = {})
        requires(can_detect<Config>)
    {
        return std::move(detect_each(std::span(&image, 1), things, options).front());
    }
    /// Finds objects in an already encoded image.
    findings detect(const image_features& image, std::string_view things, const find_options& options = {})
        requires(can_detect<Config>)
    {
        return find(image, pointing::boxes, things, options);
    }
    /// Finds objects in each of several images, decoded as one batch.
    std::vector<findings> detect_each(std::span<const image> images, std::string_view things, const find_options& options = {})
        requires(can_detect<Config>)
    {
        return find_each(images, pointing::boxes, things, options);
    }

    /// Finds objects and their masks. Needs the mask decoder: throws what mask_vqvae throws, and errc::cannot_open if there is none.
    findings segment(const image& image, std::string_view things, const find_options& options = {})
        requires(can_segment<Config>)
    {
        return std::move(segment_each(std::span(&image, 1), things, options).front());
    }
    /// Segments an already encoded image.
    findings segment(const image_features& image, std::string_view things, const find_options& options = {})
        requires(can_segment<Config>)
    {
        return find(image, pointing::masks, things, options);
    }
    /// Segments each of several images, decoded as one batch.
    std::vector<findings> segment_each(std::span<const image> images, std::string_view things, const find_options& options = {})
        requires(can_segment<Config>)
    {
        return find_each(images, pointing::masks, things, options);
    }

    /// Same as detect() or segment(), selected by `kind`.
    findings find(const image_features& image, pointing kind, std::string_view things, const find_options& options = {});
    /// Same as detect_each() or segment_each(), selected by `kind`.
    std::vector<findings> find_each(std::span<const image> images, pointing kind, std::string_view things,
                                    const find_options& options = {});

    /// Parses the objects in an answer to any prompt. Only the size of the image is used. Masks are decoded if there is a mask decoder.
    /// options.generate and options.constrained have no effect. Throws what mask_vqvae throws, and errc::invalid_argument.
    findings read(generation said, const image_features& image, const find_options& options = {});

    /// Computes the log-probability of a given answer and its end-of-sequence token. This and the following functions throw
    /// errc::invalid_prompt and errc::missing_token for a prompt that cannot be turned into tokens.
    [[nodiscard]] score_result score(std::span<const image_features> images, std::string_view prompt, std::string_view answer);
    /// Encodes the image and scores an answer about it.
    [[nodiscard]] score_result score(const image& image, std::string_view prompt, std::string_view answer) {
        const image_features features = encode(image);
        return score(std::span(&features, 1), prompt, answer);
    }

    /// Hidden states after the final norm, (image tokens + prompt + suffix, hidden). The suffix is causal and gets no end-of-sequence
    /// token.
    [[nodiscard]] matrix hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");
    /// Logits of every token, (image tokens + prompt + suffix, vocabulary): 270 MB for 264 tokens of a released model.
    [[nodiscard]] matrix logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");

private:
    struct state;
    std::unique_ptr<state> m_state;
};

#ifdef PALI_COMPILED // instantiated in pali::compiled; for other variants, include <pali/model.ipp> in the source that uses them
extern template class model<dynamic, f32>;
extern template class model<dynamic, bf16>;
extern template class model<dynamic, int8>;
extern template class model<dynamic, int4>;
/// Declares one of PALI_COMPILED_VARIANTS.
#  define PALI_VARIANT(variant, weights)                                                                                                   \
      template <>                                                                                                                          \
      struct model_bodies<variant, weights> {                                                                                              \
          static constexpr bool available = true;                                                                                          \
      };                                                                                                                                   \
      extern template class model<variant, weights>;
#  ifdef PALI_COMPILED_VARIANTS
PALI_COMPILED_VARIANTS
#  endif
#  undef PALI_VARIANT
#endif

}}} // namespace pali::PALI_ABI::PALI_MODEL

#ifndef PALI_COMPILED
#  include <pali/model.ipp>
#endif
