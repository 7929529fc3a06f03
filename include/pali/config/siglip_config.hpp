// SigLIP So400m/14, the vision tower of all released PaliGemma models.
#pragma once

#include <pali/config/concepts.hpp>

namespace pali { inline namespace PALI_ABI {

/// Shape-optimized ViT with 400M parameters and 14 px patches. arXiv 2305.13035; big_vision models/vit.py decode_variant("So400m/14").
template <std::size_t ImageSize>
struct siglip_so400m_14 {
    static_assert(ImageSize % 14 == 0, "the image side must be a multiple of the 14 px patch; the released models have 224, 448 and 896");
    /// @{
    /// See vision_config.
    static constexpr std::size_t image_size = ImageSize, patch_size = 14, hidden = 1152, layers = 27, intermediate = 4304, heads = 16;
    static constexpr float norm_eps = 1e-6f;
    /// @}
};
static_assert(vision_config<siglip_so400m_14<224>>);

/// Number of patches of an image, which is the number of image tokens.
template <vision_config Config>
[[nodiscard]] constexpr std::size_t patch_count(const Config& config) noexcept {
    return (config.image_size / config.patch_size) * (config.image_size / config.patch_size);
}

}} // namespace pali::PALI_ABI
