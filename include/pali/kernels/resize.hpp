// Kernels of resampling: a picture's rows or columns through fixed-point weights. The sums are integers, so any order gives the same bytes.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pali::inline PALI_ABI::kernels {

/// Which source pixels make one output pixel, and by how much.
struct resample_span {
    std::size_t first = 0; ///< first source pixel
    std::size_t count = 0; ///< how many of them
};

/// The weights of one axis.
struct exact_resample_weights {
    std::size_t taps = 0;             ///< weights a span; those past its count are zero
    std::vector<resample_span> spans; ///< one an output pixel
    std::vector<double> weights;      ///< (spans, taps); those of a span add up to 1
};

/// The same in fixed point, 22 bits after the point (Pillow, Resample.c: 32 bits less 8 of pixels less 2 of overshoot).
struct resample_weights {
    static constexpr int precision = 32 - 8 - 2; ///< bits after the point

    std::size_t taps = 0;              ///< weights a span; those past its count are zero
    std::vector<resample_span> spans;  ///< one an output pixel
    std::vector<std::int32_t> weights; ///< (spans, taps)
};

/// The value as stored: keeps a compiler from fusing a product into the sum that follows, which may round otherwise than Pillow does.
[[nodiscard]] inline double stored(double value) noexcept {
    volatile double memory = value;
    return memory;
}

namespace detail {

[[nodiscard]] inline std::uint8_t clip_to_byte(std::int32_t sum) noexcept {
    return static_cast<std::uint8_t>(std::clamp(sum >> resample_weights::precision, 0, 255));
}

} // namespace detail

/// Weights that take `in` pixels to pixels [first, first + count) of `out` by the kernel `weight_at(x)`, which is zero outside
/// [-support, support]. The kernel is stretched when shrinking. The arithmetic is Pillow's to the last operation.
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

/// Rounds weights as Pillow does for pixels of 8 bits.
[[nodiscard]] inline resample_weights in_fixed_point(const exact_resample_weights& exact) {
    resample_weights made{exact.taps, exact.spans, std::vector<std::int32_t>(exact.weights.size())};
    std::transform(exact.weights.begin(), exact.weights.end(), made.weights.begin(), [](double weight) {
        const double scaled = weight * (1 << resample_weights::precision); // a power of two: exact
        return static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return made;
}

/// Weights for all of `out`, in fixed point.
template <class Weight>
[[nodiscard]] resample_weights make_resample_weights(std::size_t in, std::size_t out, double support, Weight&& weight_at) {
    return in_fixed_point(make_exact_resample_weights(in, out, support, weight_at, 0, out));
}

/// One row of RGB bytes through the weights of the horizontal axis. Made once a picture: it holds the weights as the inner loop reads them,
/// three times each, in whole blocks.
template <class A>
class row_resampler {
public:
    /// `weights` must outlive it.
    row_resampler(arch::simd<A>, const resample_weights& weights) : m_spans(weights.spans) {
        m_stride = (weights.taps * 3 + block - 1) / block * block;
        m_weights.assign(m_spans.size() * m_stride, 0);
        for (std::size_t at = 0; at < m_spans.size(); ++at)
            for (std::size_t i = 0; i < m_spans[at].count; ++i)
                std::fill_n(m_weights.data() + at * m_stride + i * 3, 3, weights.weights[at * weights.taps + i]);
    }

    /// Bytes that must be readable behind the end of a source row; what they hold does not matter.
    static constexpr std::size_t padding = 12;

    /// out (spans * 3) from in (source width * 3, then `padding` bytes). Never throws, never allocates.
    void operator()(const std::uint8_t* in, std::uint8_t* out) const noexcept {
        for (std::size_t at = 0; at < m_spans.size(); ++at) {
            const std::uint8_t* from = in + m_spans[at].first * 3;
            const std::int32_t* weights = m_weights.data() + at * m_stride;
            const std::size_t blocks = (m_spans[at].count * 3 + block - 1) / block;
            std::int32_t sums[block] = {};
            for (std::size_t b = 0; b < blocks; ++b, from += block, weights += block)
                for (std::size_t i = 0; i < block; ++i) sums[i] += weights[i] * static_cast<std::int32_t>(from[i]);
            for (std::size_t c = 0; c < 3; ++c) {
                std::int32_t sum = 1 << (resample_weights::precision - 1);
                for (std::size_t i = c; i < block; i += 3) sum += sums[i];
                out[at * 3 + c] = detail::clip_to_byte(sum);
            }
        }
    }

private:
    static constexpr std::size_t block = 12; // four pixels: the smallest count that is whole pixels and whole vectors of four

    const std::vector<resample_span>& m_spans;
    std::vector<std::int32_t> m_weights; // (spans, stride)
    std::size_t m_stride = 0;
};

/// One output row: the weighted sum of `count` rows of `width` bytes, `stride` apart. Never throws, never allocates.
template <class A>
void resample_columns(arch::simd<A>, const std::uint8_t* rows, std::size_t stride, const std::int32_t* weights, std::size_t count, std::uint8_t* out,
                      std::size_t width) noexcept {
    constexpr std::size_t block = 32;
    constexpr std::int32_t half = 1 << (resample_weights::precision - 1);
    std::size_t x = 0;
    for (; x + block <= width; x += block) {
        std::int32_t sums[block];
        for (std::size_t i = 0; i < block; ++i) sums[i] = half;
        for (std::size_t row = 0; row < count; ++row) {
            const std::uint8_t* from = rows + row * stride + x;
            const std::int32_t weight = weights[row];
            for (std::size_t i = 0; i < block; ++i) sums[i] += weight * static_cast<std::int32_t>(from[i]);
        }
        for (std::size_t i = 0; i < block; ++i) out[x + i] = detail::clip_to_byte(sums[i]);
    }
    for (; x < width; ++x) {
        std::int32_t sum = half;
        for (std::size_t row = 0; row < count; ++row) sum += weights[row] * static_cast<std::int32_t>(rows[row * stride + x]);
        out[x] = detail::clip_to_byte(sum);
    }
}

} // namespace pali::inline PALI_ABI::kernels
