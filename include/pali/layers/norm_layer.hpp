// RMSNorm and LayerNorm with their weights.
#pragma once

#include <pali/core/context.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/weights/tensor_visitor.hpp>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Gemma's RMSNorm: x / rms(x) · (1 + scale); see kernels::rms_norm.
struct rms_norm {
    const float* scale = nullptr; ///< (D)
    float eps = 0;                ///< added to the mean square

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const {
        matrix_view y = ctx.take(x.shape(0), x.shape(1));
        ctx.threads.run_blocks(x.shape(0), kernels::norm_rows_a_task, [&](std::size_t t, std::size_t n) {
            kernels::active().rms_norm(rows_of(x).slice(t, n), scale, eps, rows_of(y).slice(t, n));
        });
        return y;
    }

    /// Binds "weight", (width).
    template <tensor_visitor V>
    void bind(const V& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        eps = epsilon;
    }
};

/// SigLIP's LayerNorm: (x - mean) / deviation · scale + bias; see kernels::layer_norm.
struct layer_norm {
    const float* scale = nullptr; ///< (D)
    const float* bias = nullptr;  ///< (D)
    float eps = 0;                ///< added to the variance

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const {
        matrix_view y = ctx.take(x.shape(0), x.shape(1));
        ctx.threads.run_blocks(x.shape(0), kernels::norm_rows_a_task, [&](std::size_t t, std::size_t n) {
            kernels::active().layer_norm(rows_of(x).slice(t, n), scale, bias, eps, rows_of(y).slice(t, n));
        });
        return y;
    }

    /// Binds "weight" and "bias", (width).
    template <tensor_visitor V>
    void bind(const V& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        names.vector("bias", bias, width);
        eps = epsilon;
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
