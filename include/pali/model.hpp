// A PaliGemma, ready to be asked: a folder in, answers out. How it does that is in model.ipp.
#pragma once

#include <pali/config/checkpoint_config.hpp>
#include <pali/core/progress.hpp>
#include <pali/image/image.hpp>
#include <pali/model/findings.hpp>
#include <pali/model/load_options.hpp>
#include <pali/model/request.hpp>
#include <pali/text/prompt.hpp>
#include <pali/weights/storage.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// A model whose bodies were compiled elsewhere has one name, whatever flags the source that uses it is compiled with.
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

/// Whether the bodies of a model type can be had: in this source, which includes model.ipp, or compiled elsewhere.
template <class Config, class Weights>
struct model_bodies {
#ifdef PALI_COMPILED
    static constexpr bool available = std::is_same_v<Config, dynamic>; ///< whether a source may use the type
#else
    static constexpr bool available = true; ///< whether a source may use the type
#endif
};

/**
 * PaliGemma or PaliGemma 2. `Config` picks the variant at compile time, or is `dynamic`; `Weights` is the type that the matrices are
 * held in: `bf16`, `f32`, `int8` or `int4`.
 *
 * Calls on one model wait for each other; a call from a callback of the same model's call throws errc::invalid_argument. Two models run
 * side by side, each with threads of its own. All calls throw errc::invalid_argument for options outside their range, images without
 * pixels and features that are not as wide as the model.
 */
template <model_config Config = dynamic, weight_storage Weights = bf16>
class model {
    static_assert(model_bodies<Config, Weights>::available,
                  "this model type was not compiled: include <pali/model.ipp> in the source that uses it, name it in the CMake variable "
                  "PALI_VARIANTS, or link pali::pali instead of pali::compiled");

public:
    /// Opens a Hugging Face folder: config.json, tokenizer.model or tokenizer.json, safetensors, and optional files. Throws what
    /// read_checkpoint_config, tokenizer, checkpoint_files and network throw: each a pali::error whose message says what to do.
    explicit model(const std::filesystem::path& folder, const load_options& options = {});
    /// Ends its threads and gives its memory back.
    ~model();
    /// Takes the other's place; the other can only be assigned to or destroyed.
    model(model&&) noexcept;
    /// The same.
    model& operator=(model&&) noexcept;

    /// The numbers that the model runs with.
    [[nodiscard]] const Config& config() const noexcept;
    /// What the checkpoint's JSON files say.
    [[nodiscard]] const checkpoint_config& checkpoint() const noexcept;
    /// The vocabulary of the checkpoint.
    [[nodiscard]] const tokenizer& text() const noexcept;
    /// The instruction sets that its kernels use: "simd:avx512bw vnni amx".
    [[nodiscard]] static std::string arch();
    /// Seconds that loading took.
    [[nodiscard]] double load_seconds() const noexcept;
    /// Threads that take part in its work.
    [[nodiscard]] std::size_t threads() const noexcept;

    /// What the decoder will see of an image: (image tokens, hidden). Compute it once to ask many questions.
    /// Throws errc::cancelled when `on_progress`, stage "image", returns false.
    [[nodiscard]] image_features encode(const image& image, const progress_callback& on_progress = {});

    /// Answers a prompt about an image. Stopped by a callback it returns what there is, with finish_reason::cancelled. Throws, as all that
    /// follow, errc::invalid_argument for options that are not allowed, and for logits that are no numbers; errc::invalid_prompt and
    /// errc::missing_token for a prompt that cannot be laid out.
    generation generate(const image& image, std::string_view prompt, const generate_options& options = {}) {
        return generate(std::span(&image, 1), prompt, options);
    }
    /// Answers a prompt about several images; the model sees them in that order.
    generation generate(std::span<const image> images, std::string_view prompt, const generate_options& options = {});
    /// Answers a prompt about an image that was encoded before.
    generation generate(const image_features& image, std::string_view prompt, const generate_options& options = {}) {
        return generate(request{.images = std::span(&image, 1), .prompt = prompt, .options = options});
    }
    /// Answers one request.
    generation generate(const request& one);
    /// Answers requests together: each as if it were alone, in the order given, at the cost of reading the weights once a step for all.
    /// Progress goes to the first `on_progress` among them. A callback that returns false stops all of them.
    std::vector<generation> generate(std::span<const request> requests);
    /// Answers one prompt about each of several images, all together. The callbacks of `options` are those of every answer: they may take
    /// its number first. Throws errc::cancelled when `on_progress` stops the encoding of an image.
    std::vector<generation> generate_each(std::span<const image> images, std::string_view prompt, const generate_options& options = {});

    /// What is to be seen, in the form of the COCO captions: the prompt "caption en". Stopped by a callback it is what was said so far:
    /// generate() tells it apart.
    std::string caption(const image& image, std::string_view language = "en", const generate_options& options = {}) {
        return caption(std::span(&image, 1), language, options);
    }
    /// The same of several images together.
    std::string caption(std::span<const image> images, std::string_view language = "en", const generate_options& options = {}) {
        return generate(images, caption_prompt(language), options).text;
    }
    /// The answer to a question, by the prompt "answer en where is the cat?".
    std::string answer(const image& image, std::string_view question, std::string_view language = "en",
                       const generate_options& options = {}) {
        return answer(std::span(&image, 1), question, language, options);
    }
    /// The same about several images together.
    std::string answer(std::span<const image> images, std::string_view question, std::string_view language = "en",
                       const generate_options& options = {}) {
        return generate(images, answer_prompt(question, language), options).text;
    }

    /// Finds things: "cat ; black dog". What the model says is never an error: see findings::skipped.
    /// Throws errc::cancelled when `on_progress` stops the encoding of the image, and what object_constraint throws for `constrained`.
    findings detect(const image& image, std::string_view things, const find_options& options = {}) {
        return std::move(detect_each(std::span(&image, 1), things, options).front());
    }
    /// The same in an image that was encoded before.
    findings detect(const image_features& image, std::string_view things, const find_options& options = {}) {
        return find(image, pointing::boxes, things, options);
    }
    /// The same in each of several images, decoded together.
    std::vector<findings> detect_each(std::span<const image> images, std::string_view things, const find_options& options = {}) {
        return find_each(images, pointing::boxes, things, options);
    }

    /// Finds things, and which pixels are theirs. Needs the mask decoder: throws what mask_vqvae throws, errc::cannot_open when there is
    /// none.
    findings segment(const image& image, std::string_view things, const find_options& options = {}) {
        return std::move(segment_each(std::span(&image, 1), things, options).front());
    }
    /// The same in an image that was encoded before.
    findings segment(const image_features& image, std::string_view things, const find_options& options = {}) {
        return find(image, pointing::masks, things, options);
    }
    /// The same in each of several images, decoded together.
    std::vector<findings> segment_each(std::span<const image> images, std::string_view things, const find_options& options = {}) {
        return find_each(images, pointing::masks, things, options);
    }

    /// What detect() and segment() are, with the kind as an argument.
    findings find(const image_features& image, pointing kind, std::string_view things, const find_options& options = {});
    /// The same in each of several images, decoded together.
    std::vector<findings> find_each(std::span<const image> images, pointing kind, std::string_view things,
                                    const find_options& options = {});

    /// The objects in an answer to any prompt about an image, of which only the size matters; with masks where there is a mask decoder.
    /// How the answer is made, options.generate and options.constrained, is without effect here. Throws what mask_vqvae throws, and
    /// errc::invalid_argument.
    findings read(generation said, const image_features& image, const find_options& options = {});

    /// Log-probabilities of an answer, its end included, as if the model had said it. Throws errc::invalid_prompt and
    /// errc::missing_token for a prompt that cannot be laid out, as those below.
    [[nodiscard]] score_result score(std::span<const image_features> images, std::string_view prompt, std::string_view answer);
    /// The same of an answer about an image, which is encoded for it.
    [[nodiscard]] score_result score(const image& image, std::string_view prompt, std::string_view answer) {
        const image_features features = encode(image);
        return score(std::span(&features, 1), prompt, answer);
    }

    /// Hidden states after the last norm, (image tokens + prompt + suffix, hidden). The suffix, causal, is encoded without an end.
    [[nodiscard]] matrix hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");
    /// Logits of every token, (image tokens + prompt + suffix, vocabulary): for 264 tokens of a released model, 270 MB.
    [[nodiscard]] matrix logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");

private:
    struct state;
    std::unique_ptr<state> m_state;
};

#ifdef PALI_COMPILED // in pali::compiled; other variants include <pali/model.ipp> in a source that uses them
extern template class model<dynamic, f32>;
extern template class model<dynamic, bf16>;
extern template class model<dynamic, int8>;
extern template class model<dynamic, int4>;
/// One of PALI_VARIANTS.
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
