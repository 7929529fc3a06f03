// Resampling weights, computed with the same operations as Pillow's.
#pragma once

#include <pali/core/macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Range of source pixels that contribute to one output pixel.
struct resample_span {
    std::size_t first = 0; ///< first source pixel
    std::size_t count = 0; ///< number of source pixels
};

/// Weights of one axis in double precision.
struct exact_resample_weights {
    std::size_t taps = 0;             ///< weights per span; those after its count are zero
    std::vector<resample_span> spans; ///< one per output pixel
    std::vector<double> weights;      ///< (spans, taps); the weights of a span add up to 1
};

/// Weights of one axis in fixed point with 22 fractional bits (Pillow, Resample.c: 32 bits, minus 8 for the pixels, minus 2 for overshoot).
struct resample_weights {
    static constexpr int precision = 32 - 8 - 2; ///< fractional bits

    std::size_t taps = 0;              ///< weights per span; those after its count are zero
    std::vector<resample_span> spans;  ///< one per output pixel
    std::vector<std::int32_t> weights; ///< (spans, taps)
};

/// Returns `value` after a store and a reload. Prevents compilers from contracting a product and a following addition to an FMA, which may
/// round differently from Pillow.
[[nodiscard]] inline double stored(double value) noexcept {
    volatile double memory = value;
    return memory;
}

/// Converts a fixed-point sum to a pixel, clamped to [0, 255].
[[nodiscard]] PALI_ALWAYS_INLINE inline std::uint8_t clip_to_byte(std::int32_t sum) noexcept {
    const std::int32_t pixel = sum >> resample_weights::precision;
    return static_cast<std::uint8_t>(pixel < 0 ? 0 : pixel > 255 ? 255 : pixel);
}

/// Weights that resample `in` pixels to pixels [first, first + count) of `out` with the filter `weight_at(x)`, which is zero outside
/// [-support, support]. The filter is stretched for downscaling. Uses exactly the same operations as Pillow.
template <class Weight>
[[nodiscard]] exact_resample_weights make_exact_resample_weights(std::size_t in, std::size_t out, double support, Weight&& weight_at,
                                                                 std::size_t first, std::size_t count) {
    PALI_ASSERT(in > 0 && out > 0 && first + count <= out);
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    const double stretch = std::max(scale, 1.0);
    const double reach = stored(support * stretch);
    const double shrink = 1.0 / stretch;

    exact_resample_weights made;
    made.taps = static_cast<std::size_t>(std::ceil(reach)) * 2 + 1;
    made.spans.resize(count);
    made.weights.assign(count * made.taps, 0);
    for (std::size_t at = 0; at < count; ++at) {
        const double center = stored((static_cast<double>(first + at) + 0.5) * scale);
        const double low = center - reach + 0.5;
        const double high = center + reach + 0.5;
        const std::size_t begin = low > 0.0 ? static_cast<std::size_t>(low) : 0;
        const std::size_t end = std::min(static_cast<std::size_t>(high), in);
        const std::size_t taken = std::min(end - std::min(begin, end), made.taps);
        double* weights = made.weights.data() + at * made.taps;
        double sum = 0.0;
        for (std::size_t i = 0; i < taken; ++i) {
            weights[i] = weight_at(stored((static_cast<double>(i + begin) - center + 0.5) * shrink));
            sum += weights[i];
        }
        for (std::size_t i = 0; i < taken && sum != 0.0; ++i) weights[i] /= sum;
        made.spans[at] = {begin, taken};
    }
    return made;
}

/// Rounds weights to fixed point, as Pillow does for 8-bit pixels.
[[nodiscard]] inline resample_weights in_fixed_point(const exact_resample_weights& exact) {
    resample_weights made{exact.taps, exact.spans, std::vector<std::int32_t>(exact.weights.size())};
    std::transform(exact.weights.begin(), exact.weights.end(), made.weights.begin(), [](double weight) {
        const double scaled = weight * (1 << resample_weights::precision); // a power of two: exact
        return static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return made;
}

/// Fixed-point weights for all pixels of `out`.
template <class Weight>
[[nodiscard]] resample_weights make_resample_weights(std::size_t in, std::size_t out, double support, Weight&& weight_at) {
    return in_fixed_point(make_exact_resample_weights(in, out, support, weight_at, 0, out));
}

/// Weights of one axis for RGB pixels, in the order of the inner loop: each weight three times, padded to whole blocks.
class rgb_weights {
public:
    static constexpr std::size_t block = 12; ///< elements: four pixels; the least common multiple of three channels and four lanes

    /// Packs `weights`.
    explicit rgb_weights(const resample_weights& weights) : m_spans(weights.spans) {
        m_stride = (weights.taps * 3 + block - 1) / block * block;
        m_weights.assign(m_spans.size() * m_stride, 0);
        for (std::size_t at = 0; at < m_spans.size(); ++at)
            for (std::size_t i = 0; i < m_spans[at].count; ++i)
                std::fill_n(m_weights.data() + at * m_stride + i * 3, 3, weights.weights[at * weights.taps + i]);
    }

    /// Number of output pixels.
    [[nodiscard]] std::size_t count() const noexcept { return m_spans.size(); }
    /// Source pixels of each output pixel: (count).
    [[nodiscard]] const resample_span* spans() const noexcept { return m_spans.data(); }
    /// (count, stride); zero after the weights of a span.
    [[nodiscard]] const std::int32_t* weights() const noexcept { return m_weights.data(); }
    /// Weights from one output pixel to the next.
    [[nodiscard]] std::size_t stride() const noexcept { return m_stride; }

private:
    std::vector<resample_span> m_spans;
    std::vector<std::int32_t> m_weights;
    std::size_t m_stride = 0;
};

}}} // namespace pali::PALI_ABI::kernels
