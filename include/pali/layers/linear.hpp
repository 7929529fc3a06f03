// Linear layer of vision tower, projector and decoder.
#pragma once

#include <pali/core/context.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/weights/storage.hpp>
#include <pali/weights/tensor_visitor.hpp>

#include <array>
#include <concepts>
#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// y = x · wᵀ (+ bias), computed by kernels::product.
template <weight_storage Storage>
struct linear {
    typename Storage::matrix weight; ///< (out, in), as stored
    const float* bias = nullptr;     ///< (out), or null

    /// x (T, in) -> (T, out), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const {
        matrix_view y = ctx.take(x.shape(0), weight.count);
        (*this)(x, rows_of(y), ctx);
        return y;
    }
    /// x (T, in) -> y (T, out), in the caller's memory.
    void operator()(const matrix_view& x, rows<float> y, context& ctx) const {
        kernels::active().product(rows_of(x), {kernels::operand{weight, bias, y}}, ctx.kind, ctx.threads, ctx.scratch);
    }

    /// x (T, in) -> (T, out) of each map, in scratch memory. x is converted or packed once for all maps.
    template <std::same_as<linear>... Maps>
    [[nodiscard]] static std::array<matrix_view, sizeof...(Maps)> each(const matrix_view& x, context& ctx, const Maps&... maps) {
        std::array<matrix_view, sizeof...(Maps)> y{ctx.take(x.shape(0), maps.weight.count)...};
        std::size_t i = 0;
        kernels::active().product(rows_of(x), {kernels::operand{maps.weight, maps.bias, rows_of(y[i++])}...}, ctx.kind, ctx.threads,
                                  ctx.scratch);
        return y;
    }

    /// Binds "weight", (out, in), and, if `with_bias`, "bias", (out).
    template <tensor_visitor V>
    void bind(const V& names, std::size_t out, std::size_t in, bool with_bias) {
        names.matrix("weight", weight, {out, in});
        if (with_bias) names.vector("bias", bias, out);
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
