// The bodies of model: what a call does, with the networks at work.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/model.hpp>
#include <pali/model/beams.hpp>
#include <pali/model/caches.hpp>
#include <pali/model/find.hpp>
#include <pali/model/generate.hpp>
#include <pali/model/preprocessing.hpp>
#include <pali/model/score.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace pali::inline PALI_ABI::inline PALI_MODEL {

/// What a model is made of. Its members do one call's work, under the lock that the caller holds.
template <model_config Config, weight_storage Weights>
struct model<Config, Weights>::state {
    state(const std::filesystem::path& from, const load_options& options)
        : folder(folder_of(from)), read(read_checkpoint_config(from)), at(options.threads, options.pin_threads), text(folder, read.image_token),
          net(from, read, options.residency, at, options.on_progress), pictures(preprocessing_of(read.picture)), eos(read.eos.begin(), read.eos.end()),
          mask_file(options.mask_decoder), caches(options.kv_cache) {
        for (const token id : {text.bos(), text.eos(), text.newline()}) // which prompts and answers get by themselves
            if (static_cast<std::size_t>(id) >= net.config.vocab)
                throw error(errc::missing_token, {folder.string(), ": the token ", in_quotes(text.decode(std::span(&id, 1))), " has the id ", id, ", and the model knows ", net.config.vocab,
                                                  "; is tokenizer.model that of this checkpoint?"});
        load_s = clock.lap();
    }

    /// What lies beside the weights is in the folder, also where it is a single file of them that was named.
    [[nodiscard]] static std::filesystem::path folder_of(const std::filesystem::path& from) {
        std::error_code unknown;
        if (!std::filesystem::is_regular_file(from, unknown)) return from;
        return from.has_parent_path() ? from.parent_path() : std::filesystem::path(".");
    }

    stopwatch clock;
    std::filesystem::path folder;
    checkpoint_config read;
    context at;
    tokenizer text;
    network<Config, Weights> net;
    preprocessing pictures;
    std::vector<token> eos;
    std::filesystem::path mask_file;
    std::optional<mask_vqvae> masks; // read when it is first asked for
    kv_caches caches;
    std::mutex busy;
    double load_s = 0;

    /// Nothing when the callback stopped it.
    [[nodiscard]] std::optional<image_features> see(const image& picture, const progress_callback& progress) {
        const tensor<3> pixels = preprocess(picture, pictures);
        if (progress && !progress("image", 0)) return std::nullopt;
        const arena::frame frame(at.scratch);
        bool stopped = false;
        const auto x = net.vision(pixels.data(), at, [&](std::size_t layer, const matrix_view&) {
            stopped = progress && !progress("image", static_cast<double>(layer + 1) / static_cast<double>(net.vision.layers.size() + 1));
            return !stopped;
        });
        if (stopped) return std::nullopt;
        return image_features{copy_of(net.project(x, at)), picture.width, picture.height};
    }
    [[nodiscard]] image_features see_or_throw(const image& picture, const progress_callback& progress) {
        auto features = see(picture, progress);
        if (!features) throw error(errc::cancelled, "encoding a picture was stopped by the callback");
        return std::move(*features);
    }
    [[nodiscard]] std::vector<image_features> see_each(std::span<const image> several, const progress_callback& progress) {
        std::vector<image_features> seen;
        seen.reserve(several.size());
        for (const image& picture : several) seen.push_back(see_or_throw(picture, progress));
        return seen;
    }

    [[nodiscard]] generation answer_one(const request& one) {
        one.options.validate();
        if (one.options.num_beams > 1) return search_beams(net, text, eos, one, caches, at);
        return std::move(pali::generate(net, text, eos, std::span(&one, 1), caches, at).front());
    }
    [[nodiscard]] std::vector<generation> answer_all(std::span<const request> requests) {
        for (const request& one : requests) one.options.validate();
        const auto beams = [](const request& one) { return one.options.num_beams > 1; };
        if (std::none_of(requests.begin(), requests.end(), beams)) return pali::generate(net, text, eos, requests, caches, at);
        std::vector<generation> results; // a beam search is a batch already: one request at a time
        for (const request& one : requests) results.push_back(answer_one(one));
        return results;
    }
    [[nodiscard]] std::vector<generation> answer_each_of(std::span<const image_features> seen, std::string_view prompt, const generate_options& options) {
        std::vector<request> requests;
        for (const image_features& picture : seen) requests.push_back({.images = std::span(&picture, 1), .prompt = prompt, .options = options});
        return answer_all(requests);
    }
    /// An answer that was stopped before there was a token of it.
    [[nodiscard]] generation cancelled(std::string_view prompt, std::size_t image_tokens, double seconds) const {
        const prompt_layout layout = layout_prompt(text, prompt, image_tokens);
        generation result;
        result.prompt_tokens.assign(layout.tokens.begin() + static_cast<std::ptrdiff_t>(image_tokens), layout.tokens.end());
        result.finish = finish_reason::cancelled;
        result.timings.image_s = seconds;
        return result;
    }

    [[nodiscard]] std::optional<std::filesystem::path> find_mask_file() const { return mask_file.empty() ? find_mask_vqvae(folder) : mask_file; }
    [[nodiscard]] const mask_vqvae& mask_decoder() {
        if (masks) return *masks;
        const std::optional<std::filesystem::path> file = find_mask_file();
        if (!file)
            throw error(errc::cannot_open, {folder.string(), ": no mask decoder lies beside the weights; segment needs vae-oid.npz of big_vision ",
                                            "(gs://big_vision/paligemma/vae-oid.npz): put it there, or name it by load_options::mask_decoder"});
        return masks.emplace(*file);
    }
    [[nodiscard]] std::vector<findings> find(std::span<const image_features> seen, pointing kind, std::string_view things, const find_options& options) {
        const mask_vqvae* const decoder = kind == pointing::masks ? &mask_decoder() : nullptr;
        std::vector<generation> said = answer_each_of(seen, prompt_of(kind, things), decoding_of(options, kind, things, text));
        std::vector<findings> found;
        found.reserve(said.size());
        for (std::size_t i = 0; i < said.size(); ++i)
            found.push_back(read_findings(std::move(said[i]), text, seen[i].width, seen[i].height, decoder, options, at));
        return found;
    }
};

template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(const std::filesystem::path& folder, const load_options& options) {
    (void)arch::in_use(); // a PALI_ARCH that cannot be is said here and not by a kernel
    m_state = std::make_unique<state>(folder, options);
}
template <model_config Config, weight_storage Weights>
model<Config, Weights>::~model() = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(model&&) noexcept = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>& model<Config, Weights>::operator=(model&&) noexcept = default;

template <model_config Config, weight_storage Weights>
const Config& model<Config, Weights>::config() const noexcept { return m_state->net.config; }
template <model_config Config, weight_storage Weights>
const checkpoint_config& model<Config, Weights>::checkpoint() const noexcept { return m_state->read; }
template <model_config Config, weight_storage Weights>
const tokenizer& model<Config, Weights>::text() const noexcept { return m_state->text; }
template <model_config Config, weight_storage Weights>
double model<Config, Weights>::load_seconds() const noexcept { return m_state->load_s; }
template <model_config Config, weight_storage Weights>
std::size_t model<Config, Weights>::threads() const noexcept { return m_state->at.threads.size(); }
template <model_config Config, weight_storage Weights>
std::string model<Config, Weights>::arch() {
    const pali::arch::features& extra = pali::arch::in_use();
    return pali::arch::simd<>::name() + (extra.avx_vnni || extra.avx512_vnni ? " vnni" : "") + (extra.avx512_bf16 ? " bf16" : "") + (extra.amx_bf16 ? " amx" : "");
}

template <model_config Config, weight_storage Weights>
image_features model<Config, Weights>::encode(const image& picture, const progress_callback& on_progress) {
    const std::lock_guard lock(m_state->busy);
    return m_state->see_or_throw(picture, on_progress);
}

template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(std::span<const image> pictures, std::string_view prompt, const generate_options& options) {
    options.validate();
    const std::lock_guard lock(m_state->busy);
    stopwatch clock;
    std::vector<image_features> images;
    for (const image& picture : pictures) {
        auto features = m_state->see(picture, options.on_progress);
        if (!features) return m_state->cancelled(prompt, pictures.size() * m_state->net.image_tokens(), clock.lap());
        images.push_back(std::move(*features));
    }
    const double seconds = clock.lap();
    generation result = m_state->answer_one({.images = images, .prompt = prompt, .options = options});
    result.timings.image_s = seconds;
    return result;
}
template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(const request& one) {
    const std::lock_guard lock(m_state->busy);
    return m_state->answer_one(one);
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate(std::span<const request> requests) {
    const std::lock_guard lock(m_state->busy);
    return m_state->answer_all(requests);
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate_each(std::span<const image> pictures, std::string_view prompt, const generate_options& options) {
    options.validate();
    const std::lock_guard lock(m_state->busy);
    stopwatch clock;
    const std::vector<image_features> seen = m_state->see_each(pictures, options.on_progress);
    const double seconds = clock.lap();
    std::vector<generation> said = m_state->answer_each_of(seen, prompt, options);
    for (generation& one : said) one.timings.image_s = seconds / static_cast<double>(said.size());
    return said;
}

template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::find(const image_features& picture, pointing kind, std::string_view things, const find_options& options) {
    options.validate();
    const std::lock_guard lock(m_state->busy);
    return std::move(m_state->find(std::span(&picture, 1), kind, things, options).front());
}
template <model_config Config, weight_storage Weights>
std::vector<findings> model<Config, Weights>::find_each(std::span<const image> pictures, pointing kind, std::string_view things, const find_options& options) {
    options.validate();
    const std::lock_guard lock(m_state->busy);
    stopwatch clock;
    if (kind == pointing::masks) (void)m_state->mask_decoder(); // before the work of seeing
    const std::vector<image_features> seen = m_state->see_each(pictures, options.generate.on_progress);
    const double seconds = clock.lap();
    std::vector<findings> found = m_state->find(seen, kind, things, options);
    for (findings& one : found) one.said.timings.image_s = seconds / static_cast<double>(found.size());
    return found;
}
template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::read(generation said, const image_features& picture, const find_options& options) {
    options.validate();
    const std::lock_guard lock(m_state->busy);
    const bool masks = said.text.find("<seg") != std::string::npos && m_state->find_mask_file();
    return read_findings(std::move(said), m_state->text, picture.width, picture.height, masks ? &m_state->mask_decoder() : nullptr, options, m_state->at);
}

template <model_config Config, weight_storage Weights>
score_result model<Config, Weights>::score(std::span<const image_features> images, std::string_view prompt, std::string_view answer) {
    const std::lock_guard lock(m_state->busy);
    return pali::score(m_state->net, m_state->text, images, prompt, answer, m_state->caches, m_state->at);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const std::lock_guard lock(m_state->busy);
    return pali::hidden_states(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const std::lock_guard lock(m_state->busy);
    return pali::logits(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
}

} // namespace pali::inline PALI_ABI::inline PALI_MODEL
