// Bodies of model.hpp: how a call uses the networks.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/describe.hpp>
#include <pali/image/preprocess.hpp>
#include <pali/model.hpp>
#include <pali/model/beams.hpp>
#include <pali/model/check_tokens.hpp>
#include <pali/model/find.hpp>
#include <pali/model/generate.hpp>
#include <pali/model/kv_caches.hpp>
#include <pali/model/score.hpp>

#ifdef PALI_COMPILED
#  include <pali/arch/dispatch.hpp>
#endif

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { inline namespace PALI_MODEL {

#ifdef PALI_COMPILED
/// This file defines the bodies, so a source that includes it can use every model type.
template <class Config, class Weights>
    requires(model_config<Config> && !std::same_as<Config, dynamic>)
struct model_bodies<Config, Weights> {
    static constexpr bool available = true;
};
#endif

/// The parts of a model. Member functions do the work of one call and require that the caller holds the lock.
template <model_config Config, weight_storage Weights>
struct model<Config, Weights>::state {
    state(const std::filesystem::path& from, const load_options& options)
        : folder(core::folder_of_checkpoint(from)), read(read_checkpoint_config(from)), ctx(options.threads, options.pin_threads),
          text(model_detail::open_tokenizer(folder, read)), net(from, read, options, ctx), eos(read.eos.begin(), read.eos.end()),
          mask_file(options.mask_decoder), caches(options.kv_cache) {
        if (options.on_notice)
            if (const std::string missing = model_detail::describe_tokens_without_rows(text, net.config.vocab); !missing.empty())
                options.on_notice(folder.string() + ": " + missing);
        load_s = clock.lap();
    }

    model_detail::stopwatch clock;
    std::filesystem::path folder;
    checkpoint_config read;
    core::context ctx;
    tokenizer text;
    nn::network<Config, Weights> net;
    std::vector<token> eos;
    std::filesystem::path mask_file;
    std::optional<objects::mask_vqvae> masks; // loaded on first use
    model_detail::kv_caches caches;
    std::mutex busy;
    std::atomic<std::thread::id> caller{}; // thread of the running call
    double load_s = 0;

    /// Lock of a call: waits for calls of other threads. Throws errc::invalid_argument if a callback of the running call calls the model,
    /// which would deadlock, and errc::forked_process in a child process.
    class call {
    public:
        explicit call(state& s) : m_state(s) {
            s.ctx.threads.require_own_process();
            if (s.caller.load(std::memory_order_relaxed) == std::this_thread::get_id())
                throw error(errc::invalid_argument,
                            "a callback must not use the model that called it: wait until the call returns, or use another model");
            s.busy.lock();
            s.caller.store(std::this_thread::get_id(), std::memory_order_relaxed);
        }
        ~call() {
            m_state.caller.store(std::thread::id(), std::memory_order_relaxed);
            m_state.busy.unlock();
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;

    private:
        state& m_state;
    };

    /// Progress of a call that encodes `images` images, answers `requests` requests and makes up to `tokens` decode steps.
    [[nodiscard]] model_detail::call_progress progress_of(const progress_callback& callback, std::size_t images, std::size_t requests,
                                                          std::size_t tokens) const {
        return {callback, images * net.vision.layers.size() + requests * net.decoder.layers.size() + tokens};
    }

    /// Throws errc::invalid_prompt for a prompt that is too long. Called before images are encoded.
    void require_room(std::size_t images, std::string_view prompt) const {
        (void)model_detail::lay_out(net, text, images * net.image_tokens(), prompt);
    }

    /// Encodes an image. Returns std::nullopt if the callback cancels.
    [[nodiscard]] std::optional<image_features> see(const image& image, model_detail::call_progress& progress) {
        const preprocessing& input = read.image;
        if (!input.do_resize && (image.width != input.width || image.height != input.height))
            throw error(errc::unsupported_config, {read.image_file.string(), ": do_resize is off, but an image has ", image.width, " x ",
                                                   image.height, " pixels and the model needs ", input.width, " x ", input.height,
                                                   ": set do_resize to true, or resize the images first"});
        const tensor<3> pixels = image_detail::preprocess(image, input);
        if (!progress.begin("image")) return std::nullopt;
        const core::arena::frame frame(ctx.scratch);
        const auto x = net.vision(pixels.data(), ctx, [&](std::size_t, const matrix_view&) { return progress.advance("image"); });
        if (progress.stopped()) return std::nullopt;
        return image_features{core::copy_of(net.project(x, ctx)), image.width, image.height};
    }
    [[nodiscard]] image_features see_or_throw(const image& image, model_detail::call_progress& progress) {
        auto features = see(image, progress);
        if (!features) throw error(errc::cancelled, "the callback stopped encoding an image");
        return std::move(*features);
    }
    [[nodiscard]] std::vector<image_features> see_each(std::span<const image> several, model_detail::call_progress& progress) {
        std::vector<image_features> seen;
        seen.reserve(several.size());
        for (const image& image : several) seen.push_back(see_or_throw(image, progress));
        return seen;
    }

    [[nodiscard]] std::vector<generation> answer_all(std::span<const request> requests, model_detail::call_progress& progress) {
        for (const request& one : requests) one.options.validate();
        const auto beams = [](const request& one) { return one.options.num_beams > 1; };
        if (std::none_of(requests.begin(), requests.end(), beams))
            return model_detail::generate(net, text, eos, requests, caches, ctx, progress);
        std::vector<generation> results; // each beam search is a batch of its own, so requests run one after the other
        for (std::size_t i = 0; i < requests.size(); ++i) {
            const request& one = requests[i];
            std::size_t image_tokens = 0;
            for (const image_features& image : one.images) image_tokens += image.values.shape(0);
            if (progress.stopped()) results.push_back(cancelled(one.prompt, image_tokens, 0));
            else if (beams(one)) results.push_back(model_detail::search_beams(net, text, eos, one, caches, ctx, progress, i));
            else results.push_back(std::move(model_detail::generate(net, text, eos, std::span(&one, 1), caches, ctx, progress, i).front()));
        }
        if (!progress.stopped()) progress.complete("search");
        return results;
    }
    [[nodiscard]] std::vector<generation> answer_each_of(std::span<const image_features> seen, std::string_view prompt,
                                                         const generate_options& options, model_detail::call_progress& progress) {
        std::vector<request> requests;
        for (const image_features& image : seen) requests.push_back({.images = std::span(&image, 1), .prompt = prompt, .options = options});
        return answer_all(requests, progress);
    }
    /// A cancelled answer without tokens.
    [[nodiscard]] generation cancelled(std::string_view prompt, std::size_t image_tokens, double seconds) const {
        const text::prompt_layout layout = text::layout_prompt(text, prompt, image_tokens);
        generation result;
        result.prompt_tokens.assign(layout.tokens.begin() + static_cast<std::ptrdiff_t>(image_tokens), layout.tokens.end());
        result.finish = finish_reason::cancelled;
        result.timings.image_s = seconds;
        return result;
    }

    [[nodiscard]] std::optional<std::filesystem::path> find_mask_file() const {
        return mask_file.empty() ? objects::find_mask_vqvae(folder) : mask_file;
    }
    [[nodiscard]] const objects::mask_vqvae& mask_decoder() {
        if (masks) return *masks;
        const std::optional<std::filesystem::path> file = find_mask_file();
        if (!file)
            throw error(
                errc::cannot_open,
                {folder.string(), ": no mask decoder next to the weights; segment needs big_vision's vae-oid.npz ",
                 "(gs://big_vision/paligemma/vae-oid.npz): put it there, or pass its path (load_options::mask_decoder, --mask-decoder of "
                 "the program)"});
        return masks.emplace(*file);
    }
    [[nodiscard]] std::vector<findings> find(std::span<const image_features> seen, pointing kind, std::string_view things,
                                             const find_options& options, model_detail::call_progress& progress) {
        const objects::mask_vqvae* const decoder = kind == pointing::masks ? &mask_decoder() : nullptr;
        std::vector<generation> said =
            answer_each_of(seen, model_detail::prompt_of(kind, things), model_detail::decoding_of(options, kind, things, text), progress);
        std::vector<findings> found;
        found.reserve(said.size());
        for (std::size_t i = 0; i < said.size(); ++i)
            found.push_back(model_detail::read_findings(std::move(said[i]), text, seen[i].width, seen[i].height, decoder, options, ctx));
        return found;
    }
};

template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(const std::filesystem::path& folder, const load_options& options) {
    (void)kernels::active().usable(); // reports an unsupported PALI_ARCH before a kernel is called
    m_state = std::make_unique<state>(core::find_checkpoint(folder), options);
}
template <model_config Config, weight_storage Weights>
model<Config, Weights>::~model() = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(model&&) noexcept = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>& model<Config, Weights>::operator=(model&&) noexcept = default;

template <model_config Config, weight_storage Weights>
const Config& model<Config, Weights>::config() const noexcept {
    return m_state->net.config;
}
template <model_config Config, weight_storage Weights>
const checkpoint_config& model<Config, Weights>::checkpoint() const noexcept {
    return m_state->read;
}
template <model_config Config, weight_storage Weights>
const tokenizer& model<Config, Weights>::text() const noexcept {
    return m_state->text;
}
template <model_config Config, weight_storage Weights>
double model<Config, Weights>::load_seconds() const noexcept {
    return m_state->load_s;
}
template <model_config Config, weight_storage Weights>
std::size_t model<Config, Weights>::threads() const noexcept {
    return m_state->ctx.threads.size();
}
template <model_config Config, weight_storage Weights>
std::string model<Config, Weights>::arch() {
    const pali::arch::features &extra = kernels::active().usable(), &wanted = pali::arch::in_use();
#ifdef PALI_COMPILED
    const std::string level(pali::arch::name_of(pali::arch::selected().level->which));
#else
    const std::string level = pali::arch::simd<>::name();
#endif
    return level + (extra.avx_vnni || extra.avx512_vnni ? " vnni" : "") + (extra.avx512_bf16 ? " bf16" : "") +
           (extra.amx_bf16 ? " amx" : "") +
           (extra == wanted
                ? ""
                : " (without " + std::string(wanted.amx_bf16 && !extra.amx_bf16 ? "amx" : "avx_vnni") + ": it computed a wrong product)");
}

template <model_config Config, weight_storage Weights>
image_features model<Config, Weights>::encode(const image& image, const progress_callback& on_progress) {
    const typename state::call call(*m_state);
    model_detail::call_progress progress = m_state->progress_of(on_progress, 1, 0, 0);
    return m_state->see_or_throw(image, progress);
}

template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(std::span<const image> images, std::string_view prompt, const generate_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    model_detail::stopwatch clock;
    m_state->require_room(images.size(), prompt);
    model_detail::call_progress progress = m_state->progress_of(options.on_progress, images.size(), 1, options.max_new_tokens);
    std::vector<image_features> seen;
    for (const pali::image& image : images) {
        auto features = m_state->see(image, progress);
        if (!features) return m_state->cancelled(prompt, images.size() * m_state->net.image_tokens(), clock.lap());
        seen.push_back(std::move(*features));
    }
    const double seconds = clock.lap();
    const request one{.images = seen, .prompt = prompt, .options = options};
    generation result = std::move(m_state->answer_all(std::span(&one, 1), progress).front());
    result.timings.image_s = seconds;
    return result;
}
template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(const request& one) {
    return std::move(generate(std::span(&one, 1)).front());
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate(std::span<const request> requests) {
    const typename state::call call(*m_state);
    std::size_t tokens = 0;
    const progress_callback none;
    const progress_callback* callback = &none;
    for (const request& one : requests) {
        tokens = std::max(tokens, one.options.max_new_tokens);
        if (!*callback) callback = &one.options.on_progress;
    }
    model_detail::call_progress progress = m_state->progress_of(*callback, 0, requests.size(), tokens);
    return m_state->answer_all(requests, progress);
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate_each(std::span<const image> images, std::string_view prompt,
                                                              const generate_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    model_detail::stopwatch clock;
    m_state->require_room(1, prompt);
    model_detail::call_progress progress = m_state->progress_of(options.on_progress, images.size(), images.size(), options.max_new_tokens);
    const std::vector<image_features> seen = m_state->see_each(images, progress);
    const double seconds = clock.lap();
    std::vector<generation> said = m_state->answer_each_of(seen, prompt, options, progress);
    for (generation& one : said) one.timings.image_s = seconds / static_cast<double>(said.size());
    return said;
}

template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::find(const image_features& image, pointing kind, std::string_view things, const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    model_detail::call_progress progress = m_state->progress_of(options.generate.on_progress, 0, 1, options.generate.max_new_tokens);
    return std::move(m_state->find(std::span(&image, 1), kind, things, options, progress).front());
}
template <model_config Config, weight_storage Weights>
std::vector<findings> model<Config, Weights>::find_each(std::span<const image> images, pointing kind, std::string_view things,
                                                        const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    model_detail::stopwatch clock;
    if (kind == pointing::masks) (void)m_state->mask_decoder(); // fails before the images are encoded
    m_state->require_room(1, model_detail::prompt_of(kind, things));
    model_detail::call_progress progress =
        m_state->progress_of(options.generate.on_progress, images.size(), images.size(), options.generate.max_new_tokens);
    const std::vector<image_features> seen = m_state->see_each(images, progress);
    const double seconds = clock.lap();
    std::vector<findings> found = m_state->find(seen, kind, things, options, progress);
    for (findings& one : found) one.said.timings.image_s = seconds / static_cast<double>(found.size());
    return found;
}
template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::read(generation said, const image_features& image, const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    const bool masks = said.text.find("<seg") != std::string::npos && m_state->find_mask_file();
    return model_detail::read_findings(std::move(said), m_state->text, image.width, image.height,
                                       masks ? &m_state->mask_decoder() : nullptr, options, m_state->ctx);
}

template <model_config Config, weight_storage Weights>
score_result model<Config, Weights>::score(std::span<const image_features> images, std::string_view prompt, std::string_view answer) {
    const typename state::call call(*m_state);
    return model_detail::score(m_state->net, m_state->text, images, prompt, answer, m_state->caches, m_state->ctx);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const typename state::call call(*m_state);
    return model_detail::hidden_states(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->ctx);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const typename state::call call(*m_state);
    return model_detail::logits(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->ctx);
}

}}} // namespace pali::PALI_ABI::PALI_MODEL
