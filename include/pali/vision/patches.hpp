// Splits an image into patches, one row per patch.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/core/context.hpp>

#include <array>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// pixels (3, S, S) -> patches (A, A, 3, side, side), where A is S / side, rounded down.
PALI_FLATTEN inline void copy_patches(const float* pixels, std::size_t image_size, std::size_t side, float* patches) {
    const std::size_t across = image_size / side;
    // (channel, row, y, column, x): the image with both its axes split into patches and pixels of a patch.
    const auto split =
        arch::view(pixels, {3, across, side, across, side}, {image_size * image_size, side * image_size, image_size, side, std::size_t{1}});
    xt::noalias(arch::view(patches, {across, across, 3, side, side})) = xt::transpose(split, std::array<std::size_t, 5>{1, 3, 0, 2, 4});
}

/// pixels (3, S, S) -> (P, 3 · side · side), in scratch memory. S is `image_size` and P is (S / side)², rounded down per side. Patches come
/// row by row; a patch has the order of convolution weights, (channel, y, x).
[[nodiscard]] inline matrix_view cut_patches(const float* pixels, std::size_t image_size, std::size_t side, context& ctx) {
    const std::size_t across = image_size / side;
    matrix_view patches = ctx.take(across * across, 3 * side * side);
    copy_patches(pixels, image_size, side, patches.data());
    return patches;
}

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
