// Convolutions over feature maps. One loop computes all supported shapes: the input pixels under one row of the kernel, with all their
// channels, are contiguous in memory, and lanes are output channels.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/image/conv_weights.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

namespace detail {

/// Computes 16 channels of P output pixels: y[p][c] = bias[c] + sum over r, k of x[p][r · stride + k] · w[r][k][c]. Stores the first
/// `count` channels.
template <std::size_t P, class A>
void conv_tile(arch::simd<A>, const std::array<const float*, P>& x, std::size_t stride, std::size_t taps, std::size_t run, const float* w,
               const float* bias, activation then, const std::array<float*, P>& y, std::size_t count) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr std::size_t lanes = batch::size, vectors = conv_weights::panel / lanes;
    batch sums[P][vectors];
    for (auto& pixel : sums)
        for (std::size_t v = 0; v < vectors; ++v) pixel[v] = batch::load_aligned(bias + v * lanes);
    for (std::size_t row = 0; row < taps; ++row)
        for (std::size_t k = 0; k < run; ++k, w += conv_weights::panel) {
            batch weights[vectors];
            for (std::size_t v = 0; v < vectors; ++v) weights[v] = batch::load_aligned(w + v * lanes);
            for (std::size_t p = 0; p < P; ++p) {
                const batch value(x[p][row * stride + k]);
                for (std::size_t v = 0; v < vectors; ++v) sums[p][v] = arch::fma(value, weights[v], sums[p][v]);
            }
        }
    for (std::size_t p = 0; p < P; ++p) {
        if (then == activation::relu)
            for (batch& sum : sums[p]) sum = xsimd::max(sum, batch(0.f));
        if (count == conv_weights::panel) {
            for (std::size_t v = 0; v < vectors; ++v) sums[p][v].store_unaligned(y[p] + v * lanes);
        } else {
            alignas(64) float all[conv_weights::panel];
            for (std::size_t v = 0; v < vectors; ++v) sums[p][v].store_aligned(all + v * lanes);
            for (std::size_t c = 0; c < count; ++c) y[p][c] = all[c];
        }
    }
}

} // namespace detail

/**
 * Computes y = then(convolution of x). x is (H, W, in) with its border; y is (H', W', out) with H' = shape.size_from(H), and must not alias
 * x. The border of y is not written. Accumulates in float32 in a fixed order (rows of taps, columns, channels), so the result is
 * bit-identical for any number of threads. Cost: 2·H'·W'·out·in·taps² flop. Never throws, never allocates.
 */
template <class A>
void convolve(arch::simd<A> tag, const conv_weights& w, feature_map<const float> x, activation then, feature_map<float> y,
              thread_pool& threads) noexcept {
    const conv_shape& shape = w.shape();
    PALI_ASSERT(x.channels == shape.in && y.channels == shape.out);
    PALI_ASSERT(y.height == shape.size_from(x.height) && y.width == shape.size_from(x.width));
    PALI_ASSERT(shape.transposed || (x.height % shape.stride == 0 && x.width % shape.stride == 0));
    constexpr std::size_t lanes = arch::simd<A>::lanes, vectors = conv_weights::panel / lanes;
    constexpr std::size_t tile =
        std::max<std::size_t>(1, (arch::simd<A>::registers == 32 && lanes == 4 ? 16 : 8) / vectors); // 8 or 16 accumulators
    constexpr std::size_t pixels_a_task = 256;
    const std::size_t step = shape.transposed ? 1 : shape.stride;   // pixels of x from one output of a phase to the next
    const std::size_t spread = shape.transposed ? shape.stride : 1; // pixels of y from one output of a phase to the next
    const std::size_t width = y.width / spread, pixels = y.height / spread * width;
    const std::size_t blocks = (pixels + pixels_a_task - 1) / pixels_a_task;

    threads.run(w.phases() * w.panels() * blocks, [&](std::size_t task) {
        const std::size_t block = task % blocks, panel = task / blocks % w.panels(), phase = task / blocks / w.panels();
        const std::size_t channel = panel * conv_weights::panel, count = std::min(conv_weights::panel, shape.out - channel);
        const std::size_t below = phase / 2, beside = phase % 2;
        // The border is one pixel wide: with a padding of 1, the taps of the first output start at its corner.
        const float* const origin =
            x.data + (shape.transposed ? below * x.stride() + beside * x.channels : (1 - shape.padding()) * (x.stride() + x.channels));
        const std::size_t first = block * pixels_a_task, last = std::min(pixels, first + pixels_a_task);
        std::size_t row = first / width, column = first % width;
        const auto run = [&]<std::size_t P>(std::integral_constant<std::size_t, P>) {
            std::array<const float*, P> from;
            std::array<float*, P> to;
            for (std::size_t p = 0; p < P; ++p) {
                from[p] = origin + row * step * x.stride() + column * step * x.channels;
                to[p] = y.at(row * spread + below, column * spread + beside) + channel;
                if (++column == width) column = 0, ++row;
            }
            detail::conv_tile<P>(tag, from, x.stride(), w.taps(), w.taps() * x.channels, w.weights(phase, panel), w.bias(panel), then, to,
                                 count);
        };
        std::size_t at = first;
        for (; at + tile <= last; at += tile) run(std::integral_constant<std::size_t, tile>{});
        for (; at < last; ++at) run(std::integral_constant<std::size_t, 1>{});
    });
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
