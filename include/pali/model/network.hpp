// The three parts of a PaliGemma, bound to the weights of a checkpoint.
#pragma once

#include <pali/config/differences.hpp>
#include <pali/decoder/gemma.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/model/check_tensors.hpp>
#include <pali/model/load_options.hpp>
#include <pali/projector/projector.hpp>
#include <pali/vision/siglip.hpp>

#include <cstddef>
#include <filesystem>
#include <span>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Vision tower, projector and decoder, and the memory that their weights lie in.
template <model_config Config, weight_storage Storage>
class network {
public:
    /// A vision_config: the type of the configuration's tower.
    using vision_type = std::remove_cvref_t<decltype(std::declval<Config>().vision)>;

    /// Binds the tensors of `folder`, for which `read` is its config.json. Throws errc::config_mismatch or errc::checkpoint_mismatch
    /// with what does not fit, errc::cancelled when `options.on_progress` returns false.
    network(const std::filesystem::path& folder, const checkpoint_config& read, const load_options& options, context& at)
        : config(make_config<Config>(read)), vision(config.vision), project{config, {}}, decoder(config), positions(read.positions), m_files(folder) {
        binder names(m_files.tensors(), m_files.path().string());
        vision.bind(names.root()["vision_tower.vision_model"]);
        project.bind(names.root()["multi_modal_projector"]);
        decoder.bind(names.root()["language_model"], read.tied);
        check_tensors(m_files, names, read, options.strict, options.on_notice);
        m_memory = names.finish(options.residency, at.threads, options.on_progress, [&](std::span<const std::byte> tensor) { m_files.forget(tensor); });
    }

    [[no_unique_address]] Config config;                 ///< what it was built for
    siglip<vision_type, typename Storage::tower> vision; ///< pixels (3, S, S) -> (P, vision hidden)
    projector<Config, typename Storage::tower> project;  ///< -> (P, hidden)
    gemma<Config, Storage> decoder;                      ///< (T, hidden) -> (T, hidden) and logits
    std::size_t positions;                               ///< most tokens of a sequence

    /// Hidden states (T, D) -> logits (T, V), in scratch memory, with the final softcap. Throws errc::malformed_file where one is not finite, with the weights that are not.
    [[nodiscard]] matrix_view logits(const matrix_view& hidden, context& at) const {
        matrix_view y = decoder.uncapped_logits(hidden, at);
        if (!are_finite(y.data(), y.size())) throw_not_finite(m_files);
        decoder.cap(y, at);
        return y;
    }

    /// Tokens of one picture.
    [[nodiscard]] std::size_t image_tokens() const noexcept { return patch_count(config.vision); }
    /// The files behind the weights.
    [[nodiscard]] const checkpoint_files& files() const noexcept { return m_files; }

private:
    checkpoint_files m_files;
    page_memory m_memory;
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
