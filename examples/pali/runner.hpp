// Implements any_model with the library's model template. Included only by the sources that instantiate it.
#pragma once

#include "any_model.hpp"
#include "console.hpp"

#include <pali/config/registry.hpp>
#include <pali/model.ipp>

template <class Config, class Weights>
class runner final : public any_model {
public:
    explicit runner(const model_choice& choice) : m_model(choice.folder, choice.load) {
        variant = pali::variant_name<Config>();
        weights = Weights::name;
    }

    pali::image_features encode(const pali::image& image, const pali::progress_callback& on_progress) override {
        return m_model.encode(image, on_progress);
    }

    pali::generation generate(std::span<const pali::image> images, std::string_view prompt,
                              const pali::generate_options& options) override {
        note_limit(images.size(), prompt, options);
        return m_model.generate(images, prompt, options);
    }

    pali::generation generate(const pali::image_features& seen, std::string_view prompt, const pali::generate_options& options) override {
        note_limit(1, prompt, options);
        return m_model.generate(seen, prompt, options);
    }

    std::vector<pali::generation> generate_each(std::span<const pali::image> images, std::string_view prompt,
                                                const pali::generate_options& options) override {
        note_limit(1, prompt, options);
        return m_model.generate_each(images, prompt, options);
    }

    std::vector<pali::findings> find_each(std::span<const pali::image> images, pali::pointing kind, std::string_view things,
                                          const pali::find_options& options) override {
        note_limit(1, pali::model_detail::prompt_of(kind, things), options.generate);
        return m_model.find_each(images, kind, things, options);
    }

    pali::findings find(const pali::image_features& seen, pali::pointing kind, std::string_view things,
                        const pali::find_options& options) override {
        note_limit(1, pali::model_detail::prompt_of(kind, things), options.generate);
        return m_model.find(seen, kind, things, options);
    }

    void note_limit(std::size_t images, std::string_view prompt, const pali::generate_options& asked) override {
        const std::size_t positions = m_model.checkpoint().positions;
        if (m_noted) return;
        const std::size_t used =
            pali::text::layout_prompt(m_model.text(), prompt, images * pali::patch_count(m_model.config().vision)).tokens.size();
        if (used >= positions || asked.max_new_tokens <= positions - used)
            return; // no note, because the library refuses a prompt that leaves no room for an answer
        m_noted = true;
        print_note("--max-tokens " + std::to_string(asked.max_new_tokens) + " exceeds what the model's " + std::to_string(positions) +
                   " positions allow: the answer can have at most " + std::to_string(positions - used) + " tokens after this prompt");
    }

    pali::findings read(pali::generation said, const pali::image_features& seen) override { return m_model.read(std::move(said), seen); }

    pali::score_result score(const pali::image_features& seen, std::string_view prompt, std::string_view answer) override {
        return m_model.score(std::span(&seen, 1), prompt, answer);
    }

    [[nodiscard]] std::string arch() const override { return std::string(m_model.arch()); }
    [[nodiscard]] double load_seconds() const override { return m_model.load_seconds(); }
    [[nodiscard]] bool second_generation() const override { return m_model.config().post_norms; }

private:
    bool m_noted = false;
    pali::model<Config, Weights> m_model;
};

template <class Config, class Weights>
std::unique_ptr<any_model> open_as(const model_choice& choice) {
    return std::make_unique<runner<Config, Weights>>(choice);
}

/// The opener of the variant with this name, with bfloat16 weights, or null.
template <class... Configs>
opener find_among(std::string_view variant) {
    opener found = nullptr;
    ((pali::variant_name<Configs>() == variant ? void(found = open_as<Configs, pali::bf16>) : void()), ...);
    return found;
}
