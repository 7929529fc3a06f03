// The two normalisations, with their weights.
#pragma once

#include <pali/core/context.hpp>
#include <pali/kernels/norm.hpp>
#include <pali/weights/binder.hpp>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Gemma's norm: x / rms(x) · (1 + scale).
struct rms_norm {
    const float* scale = nullptr; ///< (D)
    float eps = 0;

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), x.shape(1));
        kernels::rms_norm(arch::native, rows_of(x), scale, eps, rows_of(y));
        return y;
    }

    void bind(const binder::scope& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        eps = epsilon;
    }
};

/// SigLIP's norm: (x - mean) / deviation · scale + bias.
struct layer_norm {
    const float* scale = nullptr; ///< (D)
    const float* bias = nullptr;  ///< (D)
    float eps = 0;

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), x.shape(1));
        kernels::layer_norm(arch::native, rows_of(x), scale, bias, eps, rows_of(y));
        return y;
    }

    void bind(const binder::scope& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        names.vector("bias", bias, width);
        eps = epsilon;
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
