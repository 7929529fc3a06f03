// All kernels with their bodies, compiled for the level of this translation unit.
#pragma once

#include <pali/kernels/attention/attend.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/kernels/image/conv.hpp>
#include <pali/kernels/image/resample.hpp>
#include <pali/kernels/pointwise/activations.hpp>
#include <pali/kernels/pointwise/norm.hpp>
#include <pali/kernels/pointwise/rope.hpp>
#include <pali/kernels/pointwise/softmax.hpp>
#include <pali/kernels/product/product.hpp>
#include <pali/kernels/product/quantize_strip.hpp>
#include <pali/kernels/self_checks.hpp>

#include <cstddef>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// The kernels as compiled with the flags of this translation unit.
inline constexpr entry_points own_level{
    .usable = &usable,
    .product_f32 = &product<float>,
    .product_bf16 = &product<bfloat16>,
    .product_int8 = &product<8>,
    .product_int4 = &product<4>,
    .attend_f32 = &attend<float>,
    .attend_bf16 = &attend<bfloat16>,
    .rms_norm = [](rows<const float> x, const float* scale, float eps,
                   rows<float> y) noexcept { rms_norm(arch::native, x, scale, eps, y); },
    .layer_norm = [](rows<const float> x, const float* scale, const float* bias, float eps,
                     rows<float> y) noexcept { layer_norm(arch::native, x, scale, bias, eps, y); },
    .gelu = [](float* x, std::size_t n) noexcept { gelu(arch::native, x, n); },
    .gated_gelu = [](float* gate, const float* up, std::size_t n) noexcept { gated_gelu(arch::native, gate, up, n); },
    .softcap = [](float* x, std::size_t n, float cap) noexcept { softcap(arch::native, x, n, cap); },
    .rotate = &rotate,
    .argmax = [](const float* x, std::size_t n) noexcept { return argmax(arch::native, x, n); },
    .sum_of_exp = [](const float* x, std::size_t n, float top, double sum) noexcept { return sum_of_exp(arch::native, x, n, top, sum); },
    .quantize_int8 = &quantize_strip<8>,
    .quantize_int4 = &quantize_strip<4>,
    .convolve = [](const conv_weights& w, feature_map<const float> x, activation then, feature_map<float> y,
                   thread_pool& threads) noexcept { convolve(arch::native, w, x, then, y, threads); },
    .resample_row = &resample_row,
    .resample_columns = &resample_columns,
};

#if !defined(PALI_COMPILED)
/// The kernels of the only level of a header-only program.
[[nodiscard]] inline const entry_points& active() noexcept { return own_level; }
#endif

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
