// Entry points of the kernels, which the layers call. In header-only use, the bodies are compiled with the source that includes them.
// Otherwise they are compiled once per level, and a level is selected at run time.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/arch/level.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/pass.hpp>
#include <pali/core/quantized_rows.hpp>
#include <pali/core/rows.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/kernels/attention/attention_shape.hpp>
#include <pali/kernels/attention/key_values.hpp>
#include <pali/kernels/attention/prefix_mask.hpp>
#include <pali/kernels/image/conv_weights.hpp>
#include <pali/kernels/image/resample_weights.hpp>
#include <pali/kernels/pointwise/rope_table.hpp>
#include <pali/kernels/product/operand.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Function pointers to the kernels of one level, each documented at its body. Only pointers, sizes and views cross this boundary, so
/// objects of different levels share no inline function.
struct entry_points {
    /// Pointer to product() for one type of weights.
    template <class Weights>
    using product_of = void (*)(rows<const float> x, std::initializer_list<operand<Weights>> with, pass kind, thread_pool& threads,
                                arena& scratch);
    /// Pointer to attend() for one type of keys and values.
    template <class Element>
    using attend_over = void (*)(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen,
                                 const prefix_mask& mask, rows<float> out, pass kind, thread_pool& threads, arena& scratch);
    /// Pointer to quantize_strip() for one width of codes.
    using quantize_to = void (*)(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept;

    /// The extensions that these kernels use, without those that failed their self-check; see kernels/self_checks.hpp.
    const arch::features& (*usable)();
    /// @{
    /// See kernels/product/product.hpp.
    product_of<rows<const float>> product_f32;
    product_of<rows<const bfloat16>> product_bf16;
    product_of<quantized_rows<8>> product_int8;
    product_of<quantized_rows<4>> product_int4;
    /// @}
    /// @{
    /// See kernels/attention/attend.hpp.
    attend_over<float> attend_f32;
    attend_over<bfloat16> attend_bf16;
    /// @}
    /// @{
    /// See kernels/pointwise/norm.hpp.
    void (*rms_norm)(rows<const float> x, const float* scale, float eps, rows<float> y) noexcept;
    void (*layer_norm)(rows<const float> x, const float* scale, const float* bias, float eps, rows<float> y) noexcept;
    /// @}
    /// @{
    /// See kernels/pointwise/activations.hpp.
    void (*gelu)(float* x, std::size_t n) noexcept;
    void (*gated_gelu)(float* gate, const float* up, std::size_t n) noexcept;
    void (*softcap)(float* x, std::size_t n, float cap) noexcept;
    /// @}
    /// See kernels/pointwise/rope.hpp.
    void (*rotate)(float* head, rope_angles by) noexcept;
    /// @{
    /// See kernels/pointwise/softmax.hpp.
    std::size_t (*argmax)(const float* x, std::size_t n) noexcept;
    double (*sum_of_exp)(const float* x, std::size_t n, float top, double sum) noexcept;
    /// @}
    /// @{
    /// See kernels/product/quantize_strip.hpp.
    quantize_to quantize_int8;
    quantize_to quantize_int4;
    /// @}
    /// See kernels/image/conv.hpp.
    void (*convolve)(const conv_weights& w, feature_map<const float> x, activation then, feature_map<float> y,
                     thread_pool& threads) noexcept;
    /// @{
    /// See kernels/image/resample.hpp.
    void (*resample_row)(const std::uint8_t* in, const resample_span* spans, std::size_t count, const std::int32_t* weights,
                         std::size_t stride, std::uint8_t* out) noexcept;
    void (*resample_columns)(const std::uint8_t* rows, std::size_t stride, const std::int32_t* weights, std::size_t count,
                             std::uint8_t* out, std::size_t width) noexcept;
    /// @}

    /// @{
    /// Computes y = x · wᵀ + bias for each operand; overloaded on the type of the weights.
    void product(rows<const float> x, std::initializer_list<operand<rows<const float>>> with, pass kind, thread_pool& threads,
                 arena& scratch) const {
        product_f32(x, with, kind, threads, scratch);
    }
    void product(rows<const float> x, std::initializer_list<operand<rows<const bfloat16>>> with, pass kind, thread_pool& threads,
                 arena& scratch) const {
        product_bf16(x, with, kind, threads, scratch);
    }
    void product(rows<const float> x, std::initializer_list<operand<quantized_rows<8>>> with, pass kind, thread_pool& threads,
                 arena& scratch) const {
        product_int8(x, with, kind, threads, scratch);
    }
    void product(rows<const float> x, std::initializer_list<operand<quantized_rows<4>>> with, pass kind, thread_pool& threads,
                 arena& scratch) const {
        product_int4(x, with, kind, threads, scratch);
    }
    /// @}
    /// @{
    /// Computes attention; overloaded on the type of keys and values.
    void attend(const attention_shape& shape, rows<const float> q, const key_values<float>& seen, const prefix_mask& mask, rows<float> out,
                pass kind, thread_pool& threads, arena& scratch) const {
        attend_f32(shape, q, seen, mask, out, kind, threads, scratch);
    }
    void attend(const attention_shape& shape, rows<const float> q, const key_values<bfloat16>& seen, const prefix_mask& mask,
                rows<float> out, pass kind, thread_pool& threads, arena& scratch) const {
        attend_bf16(shape, q, seen, mask, out, kind, threads, scratch);
    }
    /// @}
    /// Quantizes a strip to codes of `Bits` bits.
    template <std::size_t Bits>
    void quantize_strip(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) const noexcept {
        (Bits == 8 ? quantize_int8 : quantize_int4)(x, width, codes, scales);
    }
};

/// Rows of a norm per task: some microseconds.
inline constexpr std::size_t norm_rows_a_task = 16;
/// Elements of an elementwise kernel per task: some microseconds. The result of an element does not depend on how the elements are split
/// into blocks.
inline constexpr std::size_t elements_a_task = 1024;
/// Bytes after the end of a source row that resample_row() may read; their values do not matter.
inline constexpr std::size_t resample_padding = rgb_weights::block;

#ifdef PALI_COMPILED
/// The kernels of the level selected for this processor. Throws errc::unsupported_arch if PALI_ARCH names a level that is not available.
[[nodiscard]] const entry_points& active();
#endif

}}} // namespace pali::PALI_ABI::kernels

#ifndef PALI_COMPILED
#  include <pali/kernels/own_level.hpp>
#endif
