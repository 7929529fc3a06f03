// Layers of the mask network.
#pragma once

#include <pali/core/context.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/weights/tensor_visitor.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace objects { inline namespace PALI_SIMD {

/// Convolution that owns its weights: the file may be closed after pack().
class conv_layer {
public:
    /// Creates the layer without weights; bind() requests them.
    explicit conv_layer(const kernels::conv_shape& shape) : m_shape(shape) {}

    /// x (H, W, in) -> (H', W', out), in scratch memory.
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<const float> x, kernels::activation then,
                                                         context& ctx) const {
        const auto y = kernels::take_feature_map(ctx.scratch, m_shape.size_from(x.height), m_shape.size_from(x.width), m_shape.out);
        kernels::active().convolve(m_weights, x, then, y, ctx.threads);
        return y;
    }

    /// Binds "weight", (out, in, side, side) or transposed (in, out, side, side), and "bias".
    template <tensor_visitor V>
    void bind(const V& names) {
        const auto [first, second] = m_shape.transposed ? std::pair(m_shape.in, m_shape.out) : std::pair(m_shape.out, m_shape.in);
        names.matrix("weight", m_as_stored, {first, second, m_shape.side, m_shape.side});
        names.vector("bias", m_bias, m_shape.out);
    }

    /// Packs the bound weights. Call it after the binder has filled them in.
    void pack() { m_weights = kernels::conv_weights(m_shape, m_as_stored.data, m_bias); }

private:
    kernels::conv_shape m_shape;
    rows<const float> m_as_stored; // valid from bind() to pack()
    const float* m_bias = nullptr; // valid from bind() to pack()
    kernels::conv_weights m_weights;
};

/// Residual block: x + conv1(relu(conv3(relu(conv3(x))))).
struct residual_block {
    conv_layer first;  ///< 3 x 3
    conv_layer second; ///< 3 x 3
    conv_layer third;  ///< 1 x 1

    /// Block with `channels` input and output channels.
    explicit residual_block(std::size_t channels)
        : first({.in = channels, .out = channels, .side = 3}), second({.in = channels, .out = channels, .side = 3}),
          third({.in = channels, .out = channels, .side = 1}) {}

    /// x (H, W, channels) -> same shape, in scratch memory.
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<const float> x, context& ctx) const {
        using kernels::activation;
        const auto y = third(second(first(x, activation::relu, ctx), activation::relu, ctx), activation::none, ctx);
        for (std::size_t i = 0; i < y.size(); ++i) y.data[i] += x.data[i]; // includes the borders, which are zero
        return y;
    }

    /// Calls f(layer, name) for each convolution; names are prefixed with `name`.
    template <class F>
    void each(const std::string& name, F&& f) {
        f(first, name + ".net.0");
        f(second, name + ".net.2");
        f(third, name + ".net.4");
    }
};

}}}} // namespace pali::PALI_ABI::objects::PALI_SIMD
