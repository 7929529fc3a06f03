// SigLIP vision tower: an image in, one vector per patch out.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/config/siglip_config.hpp>
#include <pali/vision/patches.hpp>
#include <pali/vision/vision_block.hpp>

#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// The vision tower (Zhai et al., arXiv 2303.15343): patch embedding, learned positions, blocks, final norm; no pooling.
template <vision_config Config, weight_storage Storage>
struct siglip {
    [[no_unique_address]] Config config;               ///< see vision_config
    linear<Storage> patch_embedding;                   ///< a convolution with stride = kernel size, i.e. a linear map of each patch
    typename Storage::matrix positions;                ///< (P, D)
    std::vector<siglip_block<Config, Storage>> layers; ///< first to last
    layer_norm post_norm;                              ///< (D)

    /// A tower without weights; call bind() to set them.
    explicit siglip(const Config& c) : config(c), layers(c.layers) {}

    /// Normalized pixels (3, S, S) -> (P, D), in scratch memory. Calls `after(0, x)` with the patch embeddings, then `after(i + 1, x)`
    /// after block i. If `after` returns false, stops; the returned values are then meaningless.
    template <class After>
    [[nodiscard]] matrix_view operator()(const float* pixels, context& ctx, After&& after) const {
        matrix_view x = patch_embedding(cut_patches(pixels, config.image_size, config.patch_size, ctx), ctx);
        add_positions(x);
        if (!after(std::size_t{0}, x)) return x;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            layers[i](x, ctx);
            if (!after(i + 1, x)) return x;
        }
        return post_norm(x, ctx);
    }

    /// Binds the tensors below "vision_tower.vision_model.".
    template <tensor_visitor V>
    void bind(const V& names) {
        const std::size_t side = config.patch_size;
        const auto embeddings = names["embeddings"];
        embeddings["patch_embedding"].matrix("weight", patch_embedding.weight, {config.hidden, 3, side, side});
        embeddings["patch_embedding"].vector("bias", patch_embedding.bias, config.hidden);
        embeddings["position_embedding"].matrix("weight", positions, {patch_count(config), config.hidden});
        for (std::size_t i = 0; i < layers.size(); ++i) layers[i].bind(names["encoder.layers." + std::to_string(i)], config);
        post_norm.bind(names["post_layernorm"], config.hidden, config.norm_eps);
    }

private:
    /// x (P, D) += positions.
    PALI_FLATTEN void add_positions(matrix_view& x) const noexcept { xt::noalias(arch::view(x)) += arch::floats(positions); }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
