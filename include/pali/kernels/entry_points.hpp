// The entry points of the kernels: what blocks call. Their bodies are compiled with the source that uses them, or once per level and
// selected when the program runs.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/arch/level.hpp>
#include <pali/core/arena.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/core/pass.hpp>
#include <pali/core/quantized.hpp>
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

/// The kernels of one level, as pointers. Each is documented where its body is. Only pointers, sizes and views cross this border: an object
/// for one level shares no inline function with another.
struct entry_points {
    /// product() for weights of one type.
    template <class Weights>
    using product_of = void (*)(rows<const float> x, std::initializer_list<operand<Weights>> with, pass kind, thread_pool& threads,
                                arena& scratch);
    /// attend() over keys and values of one type.
    template <class Element>
    using attend_over = void (*)(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen,
                                 const prefix_mask& mask, rows<float> out, pass kind, thread_pool& threads, arena& scratch);
    /// quantize_strip() to one type.
    using quantize_to = void (*)(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept;

    /// kernels/usable.hpp: the extensions that these kernels use, without those that failed their check
    const arch::features& (*usable)();
    /// @{
    /// kernels/product/product.hpp
    product_of<rows<const float>> product_f32;
    product_of<rows<const bfloat16>> product_bf16;
    product_of<quantized_rows<8>> product_int8;
    product_of<quantized_rows<4>> product_int4;
    /// @}
    /// @{
    /// kernels/attention/attend.hpp
    attend_over<float> attend_f32;
    attend_over<bfloat16> attend_bf16;
    /// @}
    /// @{
    /// kernels/pointwise/norm.hpp
    void (*rms_norm)(rows<const float> x, const float* scale, float eps, rows<float> y) noexcept;
    void (*layer_norm)(rows<const float> x, const float* scale, const float* bias, float eps, rows<float> y) noexcept;
    /// @}
    /// @{
    /// kernels/pointwise/activations.hpp
    void (*gelu)(float* x, std::size_t n) noexcept;
    void (*gated_gelu)(float* gate, const float* up, std::size_t n) noexcept;
    void (*softcap)(float* x, std::size_t n, float cap) noexcept;
    /// @}
    /// kernels/pointwise/rope.hpp
    void (*rotate)(float* head, rope_angles by) noexcept;
    /// @{
    /// kernels/pointwise/softmax.hpp
    std::size_t (*argmax)(const float* x, std::size_t n) noexcept;
    double (*sum_of_exp)(const float* x, std::size_t n, float top) noexcept;
    /// @}
    /// @{
    /// kernels/product/quantize_strip.hpp
    quantize_to quantize_int8;
    quantize_to quantize_int4;
    /// @}
    /// kernels/image/conv.hpp
    void (*convolve)(const conv_weights& w, feature_map<const float> x, activation then, feature_map<float> y,
                     thread_pool& threads) noexcept;
    /// @{
    /// kernels/image/resample.hpp
    void (*resample_row)(const std::uint8_t* in, const resample_span* spans, std::size_t count, const std::int32_t* weights,
                         std::size_t stride, std::uint8_t* out) noexcept;
    void (*resample_columns)(const std::uint8_t* rows, std::size_t stride, const std::int32_t* weights, std::size_t count,
                             std::uint8_t* out, std::size_t width) noexcept;
    /// @}

    /// @{
    /// y = x · wᵀ + bias for each operand, by the type of the weights.
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
    /// Attention, by the type of keys and values.
    void attend(const attention_shape& shape, rows<const float> q, const key_values<float>& seen, const prefix_mask& mask, rows<float> out,
                pass kind, thread_pool& threads, arena& scratch) const {
        attend_f32(shape, q, seen, mask, out, kind, threads, scratch);
    }
    void attend(const attention_shape& shape, rows<const float> q, const key_values<bfloat16>& seen, const prefix_mask& mask,
                rows<float> out, pass kind, thread_pool& threads, arena& scratch) const {
        attend_bf16(shape, q, seen, mask, out, kind, threads, scratch);
    }
    /// @}
    /// Rounds a strip to codes of `Bits` bits.
    template <std::size_t Bits>
    void quantize_strip(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) const noexcept {
        (Bits == 8 ? quantize_int8 : quantize_int4)(x, width, codes, scales);
    }
};

/// Rows for a thread to take at once in a norm: some microseconds.
inline constexpr std::size_t norm_rows_a_task = 16;
/// Elements for a thread to take at once in the elementwise kernels: some microseconds. They give an element the same result in any block.
inline constexpr std::size_t elements_a_task = 1024;
/// Bytes behind the end of a source row that resample_row() may read; what they hold does not matter.
inline constexpr std::size_t resample_padding = rgb_weights::block;

#ifdef PALI_COMPILED
/// The kernels of the level that was selected for this processor. Throws errc::unsupported_arch for a PALI_ARCH that cannot be.
[[nodiscard]] const entry_points& active();
#endif

}}} // namespace pali::PALI_ABI::kernels

#ifndef PALI_COMPILED
#  include <pali/kernels/own_level.hpp>
#endif
