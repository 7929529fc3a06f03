// Dispatcher of the matrix product: selects the kernel by weight type, kind of pass and processor.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/pass.hpp>
#include <pali/kernels/product/dot_bf16_avx512.hpp>
#include <pali/kernels/product/dot_bytes_avx512.hpp>
#include <pali/kernels/product/loop_bytes.hpp>
#include <pali/kernels/product/loop_tiles.hpp>
#include <pali/kernels/self_checks.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Computes y = x · wᵀ + bias for each operand; x is (T, K) float32. With bfloat16 weights, uses AMX in a prefill, otherwise AVX512-BF16,
/// each if the processor has it. Both kernels round x to bfloat16; all others leave x in float32. The choice of the kernel does not depend
/// on T.
template <weight_element Element>
void product(rows<const float> x, std::initializer_list<operand<rows<const Element>>> with, [[maybe_unused]] pass kind,
             thread_pool& threads, arena& scratch) {
#if PALI_AVX512_KERNELS
    if constexpr (std::same_as<Element, bfloat16>) {
        if (kind == pass::prefill && usable().amx_bf16)
            return loop_tiles(arch::amx_tiles{}, x, with, [](const auto& w) { return stored_panels{w}; }, threads, scratch);
        if (usable().avx512_bf16) return loop_floats<dot_bf16_avx512>(x, with, threads, scratch);
    }
#endif
    loop_floats<dot_floats_simd<xsimd::default_arch, Element>>(x, with, threads, scratch);
}

/// Same, for quantized weights. x is rounded to bytes, with a scale per group. A prefill has two exceptions: AMX rounds x to bfloat16, and
/// a processor without a byte kernel does not round x.
template <std::size_t Bits>
void product(rows<const float> x, std::initializer_list<operand<quantized_rows<Bits>>> with, pass kind, thread_pool& threads,
             arena& scratch) {
#if PALI_AVX512_KERNELS
    if (kind == pass::prefill && usable().amx_bf16)
        return loop_tiles(arch::amx_tiles{}, x, with, [](const auto& w) { return quantized_panels<Bits>{w}; }, threads, scratch);
    if (usable().avx512_vnni && x.count == 1) return loop_bytes<dot_bytes_avx512_token>(x, with, threads, scratch);
    if (usable().avx512_vnni) return loop_bytes<dot_bytes_avx512>(x, with, threads, scratch);
#endif
#if PALI_AVX2_KERNELS
    if (usable().avx_vnni) return loop_bytes<dot_bytes_vnni>(x, with, threads, scratch);
    if (usable().avx2) return loop_bytes<dot_bytes_avx2>(x, with, threads, scratch);
#endif
    if (kind == pass::prefill) return loop_panels(arch::native, x, with, threads, scratch);
    loop_bytes<dot_bytes_portable>(x, with, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
