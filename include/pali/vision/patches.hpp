// Splits an image into patches, one row per patch.
#pragma once

#include <pali/core/context.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI {

/// pixels (3, S, S) -> (P, 3 · side · side), in scratch memory. S is `image_size` and P is (S / side)², rounded down per side. Patches come
/// row by row; a patch has the order of convolution weights, (channel, y, x).
[[nodiscard]] inline matrix_view cut_patches(const float* pixels, std::size_t image_size, std::size_t side, context& ctx) {
    const std::size_t across = image_size / side;
    matrix_view patches = ctx.take(across * across, 3 * side * side);
    float* to = patches.data();
    for (std::size_t row = 0; row < across; ++row)
        for (std::size_t column = 0; column < across; ++column)
            for (std::size_t channel = 0; channel < 3; ++channel)
                for (std::size_t y = 0; y < side; ++y) {
                    const float* const from = pixels + (channel * image_size + row * side + y) * image_size + column * side;
                    to = std::copy(from, from + side, to);
                }
    return patches;
}

}} // namespace pali::PALI_ABI
