// A linear map, as towers and decoder use it.
#pragma once

#include <pali/core/context.hpp>
#include <pali/kernels/product.hpp>
#include <pali/weights/binder.hpp>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// y = x · wᵀ (+ bias), by kernels::product.
template <weight_storage Storage>
struct linear {
    typename Storage::matrix weight; ///< (out, in), as stored
    const float* bias = nullptr;     ///< (out), or none

    /// x (T, in) -> (T, out), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), weight.count);
        (*this)(x, rows_of(y), at);
        return y;
    }
    /// x (T, in) -> y (T, out).
    void operator()(const matrix_view& x, rows<float> y, context& at) const { kernels::product(rows_of(x), weight, bias, y, at.threads, at.scratch); }

    /// "weight", (out, in), and, with_bias, "bias", (out).
    void bind(const binder::scope& names, std::size_t out, std::size_t in, bool with_bias) {
        names.matrix("weight", weight, {out, in});
        if (with_bias) names.vector("bias", bias, out);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD
