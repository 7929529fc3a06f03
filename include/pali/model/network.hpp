// Vision tower, projector and decoder, bound to the weights of a checkpoint.
#pragma once

#include <pali/config/require_fit.hpp>
#include <pali/decoder/gemma.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/model/check_tensors.hpp>
#include <pali/model/load_options.hpp>
#include <pali/projector/projector.hpp>
#include <pali/vision/siglip.hpp>
#include <pali/weights/binder.hpp>
#include <pali/weights/tensor_visitor.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Vision tower, projector and decoder. They have no weights until bind() is called.
template <model_config Config, weight_storage Storage>
struct network_modules {
    /// The type of the vision tower's configuration.
    using vision_type = std::remove_cvref_t<decltype(std::declval<Config>().vision)>;

    /// Modules with the sizes of `c`.
    explicit network_modules(const Config& c) : config(c), vision(config.vision), project{config, {}}, decoder(config) {}

    /// Visits every tensor by its published name. `tied` says whether embedding and head are one matrix.
    template <tensor_visitor V>
    void bind(const V& root, bool tied) {
        vision.bind(root["vision_tower"]["vision_model"]);
        project.bind(root["multi_modal_projector"]);
        decoder.bind(root["language_model"], tied);
    }

    [[no_unique_address]] Config config;                 ///< sizes of all modules
    siglip<vision_type, typename Storage::tower> vision; ///< pixels (3, S, S) -> (P, vision hidden)
    projector<Config, typename Storage::tower> project;  ///< (P, vision hidden) -> (P, hidden)
    gemma<Config, Storage> decoder;                      ///< (T, hidden) -> (T, hidden) and logits
};

/// Throws what loading `files` with weights of type `Storage` would throw. Reads only names, dtypes and shapes, unless the checkpoint has a
/// separate head, whose elements are compared with the embedding. `strict` and `on_notice` are those of load_options. Returns the names of
/// unused tensors, buffers included.
template <weight_storage Storage>
std::set<std::string, std::less<>> check_parts(const checkpoint_files& files, const checkpoint_config& read, bool strict = false,
                                               const std::function<void(std::string_view)>& on_notice = {}) {
    network_modules<dynamic, Storage> modules(read.sizes);
    binder names(files.tensors(), files.path().string());
    modules.bind(names.root(), read.tied);
    model_detail::check_tensors(files, names, read, strict, on_notice);
    return names.unused_names();
}

/// The modules together with the memory that holds their weights.
template <model_config Config, weight_storage Storage>
class network : public network_modules<Config, Storage> {
public:
    using network_modules<Config, Storage>::config;
    using network_modules<Config, Storage>::decoder;

    /// Binds the tensors of the checkpoint `folder`. `read` is its parsed config.json. Throws errc::config_mismatch or
    /// errc::checkpoint_mismatch with a list of the mismatches, and errc::cancelled if `options.on_progress` returns false.
    network(const std::filesystem::path& folder, const checkpoint_config& read, const load_options& options, context& ctx)
        : network_modules<Config, Storage>(config_detail::make_config<Config>(read)), positions(read.positions), m_tied(read.tied),
          m_files(folder) {
        binder names(m_files.tensors(), m_files.path().string());
        this->bind(names.root(), m_tied);
        model_detail::check_tensors(m_files, names, read, options.strict, options.on_notice);
        m_unused = names.unused_names();
        m_memory = names.finish(options.residency, ctx.threads, options.on_progress,
                                [&](std::span<const std::byte> tensor) { m_files.forget(tensor); });
    }

    std::size_t positions; ///< maximum sequence length

    /// Hidden states (T, D) -> logits (T, V), in scratch memory, with the final softcap. Throws errc::malformed_file if a logit is not
    /// finite; the message names the tensors that are not finite.
    [[nodiscard]] matrix_view logits(const matrix_view& hidden, context& ctx) const {
        matrix_view y = decoder.uncapped_logits(hidden, ctx);
        if (!kernels::are_finite(y.data(), y.size())) model_detail::throw_not_finite(m_files, m_unused);
        decoder.cap(y, ctx);
        return y;
    }

    /// Image tokens per image.
    [[nodiscard]] std::size_t image_tokens() const noexcept { return patch_count(config.vision); }
    /// The files that hold the weights.
    [[nodiscard]] const checkpoint_files& files() const noexcept { return m_files; }
    /// Whether config.json ties embedding and head.
    [[nodiscard]] bool tied() const noexcept { return m_tied; }

private:
    bool m_tied;
    checkpoint_files m_files;
    std::set<std::string, std::less<>> m_unused; // names of tensors that the model does not use
    page_memory m_memory;
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
