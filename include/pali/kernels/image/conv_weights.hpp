// Weights of a convolution in the order in which convolve() reads them, and feature maps in scratch memory.
#pragma once

#include <pali/core/aligned.hpp>
#include <pali/core/arena.hpp>
#include <pali/kernels/image/conv_shape.hpp>

#include <algorithm>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Takes an uninitialized feature map with a border of zeros from scratch memory.
[[nodiscard]] inline feature_map<float> take_feature_map(arena& scratch, std::size_t height, std::size_t width, std::size_t channels) {
    const feature_map<float> map(scratch.take(feature_map<float>::size(height, width, channels)), height, width, channels);
    std::fill_n(map.data, map.stride() + channels, 0.f); // the row above, and the pixel left of the first row
    for (std::size_t y = 0; y + 1 < height; ++y) std::fill_n(map.at(y, width), 2 * channels, 0.f); // right of a row, left of the next
    std::fill_n(map.at(height - 1, width), map.stride() + channels, 0.f);
    return map;
}

/// Weights of a convolution, packed once in the order in which convolve() reads them: 16 output channels are interleaved. A transposed
/// convolution of stride 2 is computed as four convolutions, called phases. Each phase uses every other tap and computes every other output
/// pixel, in both directions.
class conv_weights {
public:
    static constexpr std::size_t panel = 16; ///< output channels that are computed together: the lanes of the widest register

    conv_weights() = default;

    /// Packs weight and bias as PyTorch stores them: weight (out, in, side, side), or (in, out, side, side) if transposed, and bias (out).
    /// shape.is_known() must hold.
    conv_weights(const conv_shape& shape, const float* weight, const float* bias)
        : m_shape(shape), m_weights(phases() * panels() * depth() * panel), m_bias(panels() * panel) {
        PALI_ASSERT(shape.is_known());
        std::copy_n(bias, shape.out, m_bias.data());
        const std::size_t in = shape.in, out = shape.out, side = shape.side;
        for (std::size_t phase = 0; phase < phases(); ++phase)
            for (std::size_t o = 0; o < out; ++o)
                for (std::size_t row = 0; row < taps(); ++row)
                    for (std::size_t column = 0; column < taps(); ++column)
                        for (std::size_t i = 0; i < in; ++i) {
                            const std::size_t tap = tap_of(row, phase / 2) * side + tap_of(column, phase % 2);
                            const std::size_t from = (shape.transposed ? i * out + o : o * in + i) * side * side + tap;
                            float* const to = m_weights.data() + (phase * panels() + o / panel) * depth() * panel;
                            to[((row * taps() + column) * in + i) * panel + o % panel] = weight[from];
                        }
    }

    /// The shape that the weights were packed for.
    [[nodiscard]] const conv_shape& shape() const noexcept { return m_shape; }
    /// Number of phases: 4 if transposed, else 1.
    [[nodiscard]] std::size_t phases() const noexcept { return m_shape.transposed ? 4 : 1; }
    /// Number of input rows that an output pixel depends on; also the number of columns.
    [[nodiscard]] std::size_t taps() const noexcept { return m_shape.transposed ? m_shape.side / 2 : m_shape.side; }
    /// Groups of 16 output channels; the last one is zero-padded.
    [[nodiscard]] std::size_t panels() const noexcept { return (m_shape.out + panel - 1) / panel; }
    /// Weights of a panel: (taps, taps, in, 16).
    [[nodiscard]] const float* weights(std::size_t phase, std::size_t of_panel) const noexcept {
        return m_weights.data() + (phase * panels() + of_panel) * depth() * panel;
    }
    /// Bias of a panel: (16).
    [[nodiscard]] const float* bias(std::size_t of_panel) const noexcept { return m_bias.data() + of_panel * panel; }

private:
    [[nodiscard]] std::size_t depth() const noexcept { return taps() * taps() * m_shape.in; }

    /// Row of the kernel for row `tap` of a phase. Input row i of a transposed convolution adds its tap k to output row 2i - 1 + k. So even
    /// output rows use tap 3 of the input row above and tap 1 of their own. Odd output rows use tap 2 of their own input row and tap 0 of
    /// the row below.
    [[nodiscard]] std::size_t tap_of(std::size_t tap, std::size_t phase) const noexcept {
        return m_shape.transposed ? 3 - phase - 2 * tap : tap;
    }

    conv_shape m_shape;
    aligned_vector<float> m_weights; // (phases, panels, taps, taps, in, 16), zero after the last channel
    aligned_vector<float> m_bias;    // (panels, 16)
};

/// Activation that is applied to a sum before it is stored.
enum class activation { none, relu };

}}} // namespace pali::PALI_ABI::kernels
