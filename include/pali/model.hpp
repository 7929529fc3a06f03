// A PaliGemma, ready to be asked: a folder in, answers out.
#pragma once

#include <pali/model/beams.hpp>
#include <pali/model/caches.hpp>
#include <pali/model/find.hpp>
#include <pali/model/generate.hpp>
#include <pali/model/load_options.hpp>
#include <pali/model/preprocessing.hpp>
#include <pali/model/score.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/**
 * PaliGemma or PaliGemma 2. `Config` picks the variant at compile time, or is `dynamic`; `Weights` is the type that the matrices are
 * held in: `bf16`, `f32`, `int8` or `int4`.
 *
 * Calls on one model wait for each other; two models run side by side, each with threads of its own. All calls throw errc::invalid_argument
 * for options outside their range, pictures without pixels and features that are not as wide as the model.
 */
template <model_config Config = dynamic, weight_storage Weights = bf16>
class model {
public:
    /// Opens a Hugging Face folder: config.json, tokenizer.model, safetensors, and what else lies there. Throws what read_checkpoint_config,
    /// tokenizer, checkpoint_files and network throw: each a pali::error whose message says what to do.
    explicit model(const std::filesystem::path& folder, const load_options& options = {}) {
        (void)arch::in_use(); // a PALI_ARCH that cannot be is said here and not by a kernel
        m_state = std::make_unique<state>(folder, options);
    }

    /// The numbers that the model runs with.
    [[nodiscard]] const Config& config() const noexcept { return m_state->net.config; }
    /// What the checkpoint's JSON files say.
    [[nodiscard]] const checkpoint_config& checkpoint() const noexcept { return m_state->read; }
    /// The vocabulary of the checkpoint.
    [[nodiscard]] const tokenizer& text() const noexcept { return m_state->text; }
    /// The instruction sets that its kernels use: "simd:avx512bw vnni amx".
    [[nodiscard]] static std::string arch() {
        const arch::features& extra = arch::in_use();
        return arch::simd<>::name() + (extra.avx_vnni || extra.avx512_vnni ? " vnni" : "") + (extra.amx_bf16 ? " amx" : "");
    }
    /// Seconds that loading took.
    [[nodiscard]] double load_seconds() const noexcept { return m_state->load_s; }
    /// Threads that take part in its work.
    [[nodiscard]] std::size_t threads() const noexcept { return m_state->at.threads.size(); }

    /// What the decoder will see of a picture: (image tokens, hidden). Compute it once to ask many questions.
    /// Throws errc::cancelled when `on_progress`, stage "image", returns false.
    [[nodiscard]] image_features encode(const image& picture, const progress_callback& on_progress = {}) {
        const std::lock_guard lock(m_state->busy);
        return see_or_throw(picture, on_progress);
    }

    /// Answers a prompt about a picture.
    generation generate(const image& picture, std::string_view prompt, const generate_options& options = {}) {
        return generate(std::span(&picture, 1), prompt, options);
    }
    /// Answers a prompt about several pictures; the model sees them in that order.
    generation generate(std::span<const image> pictures, std::string_view prompt, const generate_options& options = {}) {
        const std::lock_guard lock(m_state->busy);
        stopwatch clock;
        std::vector<image_features> images;
        for (const image& picture : pictures) {
            auto features = see(picture, options.on_progress);
            if (!features) return cancelled(prompt, pictures.size() * m_state->net.image_tokens(), clock.lap());
            images.push_back(std::move(*features));
        }
        const double seconds = clock.lap();
        generation result = answer_one({.images = images, .prompt = prompt, .options = options});
        result.timings.image_s = seconds;
        return result;
    }
    /// Answers a prompt about a picture that was encoded before.
    generation generate(const image_features& picture, std::string_view prompt, const generate_options& options = {}) {
        return generate(request{.images = std::span(&picture, 1), .prompt = prompt, .options = options});
    }
    /// Answers one request.
    generation generate(const request& one) {
        const std::lock_guard lock(m_state->busy);
        return answer_one(one);
    }
    /// Answers requests together: each as if it were alone, in the order given, at the cost of reading the weights once a step for all.
    std::vector<generation> generate(std::span<const request> requests) {
        const std::lock_guard lock(m_state->busy);
        return answer_all(requests);
    }
    /// Answers one prompt about each of several pictures, all together. The callbacks of `options` are those of every answer.
    std::vector<generation> generate_each(std::span<const image> pictures, std::string_view prompt, const generate_options& options = {}) {
        const std::lock_guard lock(m_state->busy);
        options.validate();
        return answer_each_of(see_each(pictures, options.on_progress), prompt, options);
    }

    /// What is to be seen, in the form of the COCO captions: the prompt "caption en".
    std::string caption(const image& picture, std::string_view language = "en", const generate_options& options = {}) {
        return caption(std::span(&picture, 1), language, options);
    }
    /// The same of several pictures together.
    std::string caption(std::span<const image> pictures, std::string_view language = "en", const generate_options& options = {}) {
        return generate(pictures, caption_prompt(language), options).text;
    }
    /// The answer to a question, by the prompt "answer en where is the cat?".
    std::string answer(const image& picture, std::string_view question, std::string_view language = "en", const generate_options& options = {}) {
        return answer(std::span(&picture, 1), question, language, options);
    }
    /// The same about several pictures together.
    std::string answer(std::span<const image> pictures, std::string_view question, std::string_view language = "en", const generate_options& options = {}) {
        return generate(pictures, answer_prompt(question, language), options).text;
    }

    /// Finds things: "cat ; black dog". What the model says is never an error: see findings::skipped.
    /// Throws errc::cancelled when `on_progress` stops the encoding of the picture, and what object_constraint throws for `constrained`.
    findings detect(const image& picture, std::string_view things, const find_options& options = {}) {
        return std::move(detect_each(std::span(&picture, 1), things, options).front());
    }
    /// The same in a picture that was encoded before.
    findings detect(const image_features& picture, std::string_view things, const find_options& options = {}) {
        return std::move(find(std::span(&picture, 1), pointing::boxes, things, options).front());
    }
    /// The same in each of several pictures, decoded together.
    std::vector<findings> detect_each(std::span<const image> pictures, std::string_view things, const find_options& options = {}) {
        return find(pictures, pointing::boxes, things, options);
    }

    /// Finds things, and which pixels are theirs. Needs the mask decoder: throws what mask_vqvae throws, errc::cannot_open when there is none.
    findings segment(const image& picture, std::string_view things, const find_options& options = {}) {
        return std::move(segment_each(std::span(&picture, 1), things, options).front());
    }
    /// The same in a picture that was encoded before.
    findings segment(const image_features& picture, std::string_view things, const find_options& options = {}) {
        return std::move(find(std::span(&picture, 1), pointing::masks, things, options).front());
    }
    /// The same in each of several pictures, decoded together.
    std::vector<findings> segment_each(std::span<const image> pictures, std::string_view things, const find_options& options = {}) {
        return find(pictures, pointing::masks, things, options);
    }

    /// The objects in an answer to any prompt about a picture; with masks where there is a mask decoder.
    findings read(generation said, const image_features& picture, const find_options& options = {}) {
        options.validate();
        const std::lock_guard lock(m_state->busy);
        const bool masks = said.text.find("<seg") != std::string::npos && mask_file();
        return read(std::move(said), picture, masks ? &mask_decoder() : nullptr, options);
    }

    /// Log-probabilities of an answer, its end included, as if the model had said it.
    [[nodiscard]] score_result score(std::span<const image_features> images, std::string_view prompt, std::string_view answer) {
        const std::lock_guard lock(m_state->busy);
        return pali::score(m_state->net, m_state->text, images, prompt, answer, m_state->caches, m_state->at);
    }
    /// The same of an answer about a picture, which is encoded for it.
    [[nodiscard]] score_result score(const image& picture, std::string_view prompt, std::string_view answer) {
        const image_features features = encode(picture);
        return score(std::span(&features, 1), prompt, answer);
    }

    /// Hidden states after the last norm, (image tokens + prompt + suffix, hidden). The suffix, causal, is encoded without an end.
    [[nodiscard]] matrix hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "") {
        const std::lock_guard lock(m_state->busy);
        return pali::hidden_states(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
    }
    /// Logits of every token, (image tokens + prompt + suffix, vocabulary): for 264 tokens of a released model, 270 MB.
    [[nodiscard]] matrix logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "") {
        const std::lock_guard lock(m_state->busy);
        return pali::logits(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
    }

private:
    struct state {
        state(const std::filesystem::path& folder, const load_options& options)
            : read(read_checkpoint_config(folder)), at(options.threads, options.pin_threads), text(folder, read.image_token),
              net(folder, read, options.residency, at, options.on_progress), pictures(preprocessing_of(read.picture)), eos(read.eos.begin(), read.eos.end()),
              folder(folder), mask_file(options.mask_decoder), caches(options.kv_cache) {
            load_s = clock.lap();
        }

        stopwatch clock;
        checkpoint_config read;
        context at;
        tokenizer text;
        network<Config, Weights> net;
        preprocessing pictures;
        std::vector<token> eos;
        std::filesystem::path folder, mask_file;
        std::optional<mask_vqvae> masks; // read when it is first asked for
        kv_caches caches;
        std::mutex busy;
        double load_s = 0;
    };

    [[nodiscard]] std::optional<image_features> see(const image& picture, const progress_callback& progress) {
        network<Config, Weights>& net = m_state->net;
        context& at = m_state->at;
        const tensor<3> pixels = preprocess(picture, m_state->pictures);
        if (progress && !progress("image", 0)) return std::nullopt;
        const arena::frame frame(at.scratch);
        bool stopped = false;
        const auto x = net.vision(pixels.data(), at, [&](std::size_t layer, const matrix_view&) {
            stopped = progress && !progress("image", static_cast<double>(layer + 1) / static_cast<double>(net.vision.layers.size() + 1));
            return !stopped;
        });
        if (stopped) return std::nullopt;
        return image_features{matrix(net.project(x, at)), picture.width, picture.height};
    }
    [[nodiscard]] image_features see_or_throw(const image& picture, const progress_callback& progress) {
        auto features = see(picture, progress);
        if (!features) throw error(errc::cancelled, "encoding a picture was stopped by the callback");
        return std::move(*features);
    }
    [[nodiscard]] std::vector<image_features> see_each(std::span<const image> pictures, const progress_callback& progress) {
        std::vector<image_features> seen;
        seen.reserve(pictures.size());
        for (const image& picture : pictures) seen.push_back(see_or_throw(picture, progress));
        return seen;
    }

    [[nodiscard]] generation answer_one(const request& one) {
        one.options.validate();
        if (one.options.num_beams > 1) return search_beams(m_state->net, m_state->text, m_state->eos, one, m_state->caches, m_state->at);
        return std::move(sample(std::span(&one, 1)).front());
    }

    [[nodiscard]] std::vector<generation> answer_all(std::span<const request> requests) {
        for (const request& one : requests) one.options.validate();
        const auto beams = [](const request& one) { return one.options.num_beams > 1; };
        if (std::none_of(requests.begin(), requests.end(), beams)) return sample(requests);
        std::vector<generation> results; // a beam search is a batch already: one request at a time
        for (const request& one : requests) results.push_back(answer_one(one));
        return results;
    }

    [[nodiscard]] std::vector<generation> answer_each_of(std::span<const image_features> seen, std::string_view prompt, const generate_options& options) {
        std::vector<request> requests;
        for (const image_features& picture : seen) requests.push_back({.images = std::span(&picture, 1), .prompt = prompt, .options = options});
        return answer_all(requests);
    }

    [[nodiscard]] std::optional<std::filesystem::path> mask_file() const {
        return m_state->mask_file.empty() ? find_mask_vqvae(m_state->folder) : m_state->mask_file;
    }
    [[nodiscard]] const mask_vqvae& mask_decoder() {
        if (m_state->masks) return *m_state->masks;
        const std::optional<std::filesystem::path> file = mask_file();
        if (!file)
            throw error(errc::cannot_open, m_state->folder.string() + ": no mask decoder lies beside the weights; segment needs vae-oid.npz of big_vision " +
                                               "(gs://big_vision/paligemma/vae-oid.npz): put it there, or name it by load_options::mask_decoder");
        return m_state->masks.emplace(*file);
    }

    [[nodiscard]] std::vector<findings> find(std::span<const image> pictures, pointing kind, std::string_view things, const find_options& options) {
        options.validate();
        stopwatch clock;
        std::vector<image_features> seen;
        {
            const std::lock_guard lock(m_state->busy);
            if (kind == pointing::masks) (void)mask_decoder(); // before the work of seeing
            seen = see_each(pictures, options.generate.on_progress);
        }
        const double seconds = clock.lap();
        std::vector<findings> found = find(std::span<const image_features>(seen), kind, things, options);
        for (findings& one : found) one.said.timings.image_s = seconds / static_cast<double>(found.size());
        return found;
    }
    [[nodiscard]] std::vector<findings> find(std::span<const image_features> seen, pointing kind, std::string_view things, const find_options& options) {
        options.validate();
        const std::lock_guard lock(m_state->busy);
        const mask_vqvae* const masks = kind == pointing::masks ? &mask_decoder() : nullptr;
        std::vector<generation> said = answer_each_of(seen, prompt_of(kind, things), decoding_of(options, kind, things, m_state->text));
        std::vector<findings> found;
        for (std::size_t i = 0; i < said.size(); ++i)
            found.push_back(read(std::move(said[i]), seen[i], masks, options));
        return found;
    }
    [[nodiscard]] findings read(generation said, const image_features& seen, const mask_vqvae* masks, const find_options& options) {
        return read_findings(std::move(said), m_state->text, seen.width, seen.height, masks, options, m_state->at);
    }

    [[nodiscard]] std::vector<generation> sample(std::span<const request> requests) {
        return pali::generate(m_state->net, m_state->text, m_state->eos, requests, m_state->caches, m_state->at);
    }

    [[nodiscard]] generation cancelled(std::string_view prompt, std::size_t image_tokens, double seconds) const {
        const prompt_layout layout = layout_prompt(m_state->text, prompt, image_tokens);
        generation result;
        result.prompt_tokens.assign(layout.tokens.begin() + static_cast<std::ptrdiff_t>(image_tokens), layout.tokens.end());
        result.finish = finish_reason::cancelled;
        result.timings.image_s = seconds;
        return result;
    }

    std::unique_ptr<state> m_state;
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
