// Reference kernels: the formulas in scalar code, slow, in any precision. Tests compare the other kernels with them.
#pragma once

#include <pali/core/rows.hpp>
#include <pali/kernels/attention/attention_shape.hpp>
#include <pali/kernels/attention/key_values.hpp>
#include <pali/kernels/attention/prefix_mask.hpp>
#include <pali/kernels/image/conv_shape.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

/// Reference implementations, with which tests compare the kernels.
namespace pali { inline namespace PALI_ABI { namespace kernels { namespace reference {

/// Converts an element to the precision of the sums; exact for float32, bfloat16, and the same type.
template <class Scalar, class Element>
[[nodiscard]] Scalar widen(Element x) {
    if constexpr (std::is_arithmetic_v<Element>) return static_cast<Scalar>(x);
    else return static_cast<Scalar>(static_cast<float>(x));
}

/// y = x · wᵀ + bias; x (T, K), w (N, K), bias (N) or null, y (T, N).
template <class Scalar, class X, class W>
void matmul(rows<const X> x, rows<const W> w, const float* bias, rows<Scalar> y) {
    for (std::size_t t = 0; t < x.count; ++t)
        for (std::size_t n = 0; n < w.count; ++n) {
            Scalar sum = 0;
            for (std::size_t k = 0; k < x.width; ++k) sum += widen<Scalar>(x[t][k]) * widen<Scalar>(w[n][k]);
            y[t][n] = sum + (bias ? static_cast<Scalar>(bias[n]) : Scalar(0));
        }
}

/// y = x / sqrt(mean(x²) + eps) · (1 + scale), row by row.
template <class Scalar, class X, class P>
void rms_norm(rows<const X> x, const P* scale, float eps, rows<Scalar> y) {
    for (std::size_t t = 0; t < x.count; ++t) {
        Scalar squares = 0;
        for (std::size_t i = 0; i < x.width; ++i) squares += static_cast<Scalar>(x[t][i]) * static_cast<Scalar>(x[t][i]);
        const Scalar root = std::sqrt(squares / static_cast<Scalar>(x.width) + static_cast<Scalar>(eps));
        for (std::size_t i = 0; i < x.width; ++i)
            y[t][i] = static_cast<Scalar>(x[t][i]) / root * (Scalar(1) + static_cast<Scalar>(scale[i]));
    }
}

/// y = (x - mean) / sqrt(var + eps) · scale + bias, row by row.
template <class Scalar, class X, class P>
void layer_norm(rows<const X> x, const P* scale, const P* bias, float eps, rows<Scalar> y) {
    for (std::size_t t = 0; t < x.count; ++t) {
        Scalar mean = 0, variance = 0;
        for (std::size_t i = 0; i < x.width; ++i) mean += static_cast<Scalar>(x[t][i]) / static_cast<Scalar>(x.width);
        for (std::size_t i = 0; i < x.width; ++i) {
            const Scalar d = static_cast<Scalar>(x[t][i]) - mean;
            variance += d * d / static_cast<Scalar>(x.width);
        }
        const Scalar deviation = std::sqrt(variance + static_cast<Scalar>(eps));
        for (std::size_t i = 0; i < x.width; ++i)
            y[t][i] = (static_cast<Scalar>(x[t][i]) - mean) / deviation * static_cast<Scalar>(scale[i]) + static_cast<Scalar>(bias[i]);
    }
}

/// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
template <class Scalar>
[[nodiscard]] Scalar gelu(Scalar x) {
    constexpr double root_of_two_over_pi = 0.79788456080286535588;
    return x / Scalar(2) * (Scalar(1) + std::tanh(Scalar(root_of_two_over_pi) * (x + Scalar(0.044715) * x * x * x)));
}

/// cap · tanh(x / cap).
template <class Scalar>
[[nodiscard]] Scalar softcap(Scalar x, Scalar cap) {
    return cap * std::tanh(x / cap);
}

/// Rotates each pair (i, i + head_dim / 2) of a head by position / theta^(2i / head_dim).
template <class Scalar>
void rope(Scalar* head, std::size_t head_dim, std::size_t position, Scalar theta) {
    for (std::size_t i = 0; i < head_dim / 2; ++i) {
        const Scalar angle = static_cast<Scalar>(position) / std::pow(theta, static_cast<Scalar>(2 * i) / static_cast<Scalar>(head_dim));
        const Scalar a = head[i], b = head[i + head_dim / 2];
        head[i] = a * std::cos(angle) - b * std::sin(angle);
        head[i + head_dim / 2] = b * std::cos(angle) + a * std::sin(angle);
    }
}

/// softmax(cap(scale · q · keysᵀ)) · values, for queries (T, heads · head_dim) over the keys that are visible to token t: mask(t).
/// key(head, token, element) and value(head, token, element) return Scalar.
template <class Scalar, class X, class Key, class Value>
void attention(const attention_shape& shape, rows<const X> q, const Key& key, const Value& value, const prefix_mask& mask,
               rows<Scalar> out) {
    const std::size_t group = shape.heads / shape.kv_heads;
    for (std::size_t t = 0; t < q.count; ++t)
        for (std::size_t h = 0; h < shape.heads; ++h) {
            const key_range sees = mask(t);
            std::vector<Scalar> scores;
            for (std::size_t s = sees.begin; s < sees.end; ++s) {
                Scalar score = 0;
                for (std::size_t d = 0; d < shape.head_dim; ++d)
                    score += static_cast<Scalar>(q[t][h * shape.head_dim + d]) * key(h / group, s, d);
                score *= static_cast<Scalar>(shape.scale);
                scores.push_back(shape.softcap > 0 ? softcap(score, static_cast<Scalar>(shape.softcap)) : score);
            }
            const Scalar top = *std::max_element(scores.begin(), scores.end());
            Scalar sum = 0;
            for (Scalar& score : scores) sum += score = std::exp(score - top);
            for (std::size_t d = 0; d < shape.head_dim; ++d) {
                Scalar mixed = 0;
                for (std::size_t s = sees.begin; s < sees.end; ++s) mixed += scores[s - sees.begin] / sum * value(h / group, s, d);
                out[t][h * shape.head_dim + d] = mixed;
            }
        }
}

/// Same, with keys and values in the layout of the KV cache.
template <class Scalar, class Element>
void attention(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen, const prefix_mask& mask,
               rows<Scalar> out) {
    attention(
        shape, q, [&](std::size_t head, std::size_t token, std::size_t d) { return widen<Scalar>(seen.key(head, token, d)); },
        [&](std::size_t head, std::size_t token, std::size_t d) { return widen<Scalar>(seen.value(head, token, d)); }, mask, out);
}

/// -sum of expected · log softmax(z) for one row of logits; expected is 1 - smoothing for the target, smoothing / (V - 1) for the others.
template <class Scalar>
[[nodiscard]] Scalar cross_entropy(const Scalar* z, std::size_t vocabulary, std::size_t target, Scalar smoothing) {
    const Scalar top = *std::max_element(z, z + vocabulary);
    Scalar sum = 0, loss = 0;
    for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(z[v] - top);
    for (std::size_t v = 0; v < vocabulary; ++v)
        loss -= (v == target ? 1 - smoothing : smoothing / static_cast<Scalar>(vocabulary - 1)) * (z[v] - top - std::log(sum));
    return loss;
}

/// Convolution of x (H, W, in) without activation. weight and bias are as PyTorch stores them; y is (H', W', out). Adds every input pixel
/// to all outputs that depend on it. Forward: input = stride · output - padding + tap. Transposed: the same equation with input and output
/// swapped.
template <class Scalar>
void conv(const conv_shape& shape, feature_map<const float> x, const float* weight, const float* bias, Scalar* y) {
    const std::size_t height = shape.size_from(x.height), width = shape.size_from(x.width), side = shape.side;
    for (std::size_t at = 0; at < height * width * shape.out; ++at) y[at] = static_cast<Scalar>(bias[at % shape.out]);
    // Output index of an input and a tap, or -1 if there is none.
    const auto output = [&](std::size_t input, std::size_t tap, std::size_t size) {
        const auto i = static_cast<std::ptrdiff_t>(input), t = static_cast<std::ptrdiff_t>(tap),
                   s = static_cast<std::ptrdiff_t>(shape.stride), p = static_cast<std::ptrdiff_t>(shape.padding());
        const std::ptrdiff_t o = shape.transposed ? i * s - p + t : (i + p - t) % s == 0 ? (i + p - t) / s : -1;
        return o < static_cast<std::ptrdiff_t>(size) ? o : -1;
    };
    for (std::size_t row = 0; row < x.height; ++row)
        for (std::size_t column = 0; column < x.width; ++column)
            for (std::size_t tap = 0; tap < side * side; ++tap) {
                const std::ptrdiff_t to_row = output(row, tap / side, height), to_column = output(column, tap % side, width);
                if (to_row < 0 || to_column < 0) continue;
                Scalar* const to = y + (static_cast<std::size_t>(to_row) * width + static_cast<std::size_t>(to_column)) * shape.out;
                for (std::size_t o = 0; o < shape.out; ++o)
                    for (std::size_t i = 0; i < shape.in; ++i) {
                        const std::size_t filter = shape.transposed ? i * shape.out + o : o * shape.in + i;
                        to[o] += static_cast<Scalar>(x.at(row, column)[i]) * static_cast<Scalar>(weight[filter * side * side + tap]);
                    }
            }
}

}}}} // namespace pali::PALI_ABI::kernels::reference
