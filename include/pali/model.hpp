// A PaliGemma, ready to be asked: a folder in, answers out.
#pragma once

#include <pali/model/beams.hpp>
#include <pali/model/generate.hpp>
#include <pali/model/preprocessing.hpp>
#include <pali/model/score.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// How a checkpoint is loaded.
struct load_options {
    std::size_t threads = 0;                          ///< of the model, the caller's included; 0: as many as the machine has
    pali::residency residency = residency::mapped;    ///< where the weights are read from
    progress_callback on_progress{};                  ///< stage "load"; false stops with errc::cancelled
};

/**
 * PaliGemma or PaliGemma 2. `Config` picks the variant at compile time, or is `dynamic`; `Weights` is the type that the matrices are
 * held in: `bf16` or `f32`.
 *
 * Calls on one model wait for each other; two models run side by side, each with threads of its own. All calls throw errc::invalid_argument
 * for options outside their range.
 */
template <model_config Config = dynamic, weight_storage Weights = bf16>
class model {
public:
    /// Opens a Hugging Face folder: config.json, tokenizer.model, safetensors, and what else lies there. Throws what read_checkpoint_config,
    /// tokenizer, checkpoint_files and network throw: each a pali::error whose message says what to do.
    explicit model(const std::filesystem::path& folder, const load_options& options = {})
        : m_state(std::make_unique<state>(folder, options)) {}

    /// The numbers that the model runs with.
    [[nodiscard]] const Config& config() const noexcept { return m_state->net.config; }
    /// What the checkpoint's JSON files say.
    [[nodiscard]] const checkpoint_config& checkpoint() const noexcept { return m_state->read; }
    [[nodiscard]] const tokenizer& text() const noexcept { return m_state->text; }
    /// The instruction set that its kernels use: "simd:avx512bw".
    [[nodiscard]] static std::string arch() { return arch::simd<>::name(); }
    /// Seconds that loading took.
    [[nodiscard]] double load_seconds() const noexcept { return m_state->load_s; }
    /// Threads that take part in its work.
    [[nodiscard]] std::size_t threads() const noexcept { return m_state->at.threads.size(); }

    /// What the decoder will see of a picture: (image tokens, hidden). Compute it once to ask many questions.
    /// Throws errc::cancelled when `on_progress`, stage "image", returns false.
    [[nodiscard]] image_features encode(const image& picture, const progress_callback& on_progress = {}) {
        const std::lock_guard lock(m_state->busy);
        auto features = see(picture, on_progress);
        if (!features) throw error(errc::cancelled, "encoding a picture was stopped by the callback");
        return std::move(*features);
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
        for (const request& one : requests) one.options.validate();
        const auto beams = [](const request& one) { return one.options.num_beams > 1; };
        if (std::none_of(requests.begin(), requests.end(), beams)) return sample(requests);
        std::vector<generation> results; // a beam search is a batch already: one request at a time
        for (const request& one : requests) results.push_back(answer_one(one));
        return results;
    }

    /// Log-probabilities of an answer, its end included, as if the model had said it.
    [[nodiscard]] score_result score(std::span<const image_features> images, std::string_view prompt, std::string_view answer) {
        const std::lock_guard lock(m_state->busy);
        return pali::score(m_state->net, m_state->text, images, prompt, answer, m_state->caches, m_state->at);
    }
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
            : read(read_checkpoint_config(folder)), at(options.threads), text(folder, read.image_token),
              net(folder, read, options.residency, at, options.on_progress), pictures(preprocessing_of(read.picture)), eos(read.eos.begin(), read.eos.end()) {
            load_s = clock.lap();
        }

        stopwatch clock;
        checkpoint_config read;
        context at;
        tokenizer text;
        network<Config, Weights> net;
        preprocessing pictures;
        std::vector<token> eos;
        std::deque<kv_cache> caches;
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
        return image_features{matrix(net.project(x, at))};
    }

    [[nodiscard]] generation answer_one(const request& one) {
        one.options.validate();
        if (one.options.num_beams > 1) return search_beams(m_state->net, m_state->text, m_state->eos, one, m_state->caches, m_state->at);
        return std::move(sample(std::span(&one, 1)).front());
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
