// Dispatcher of attention: selects the kernel by type of keys and values, kind of pass and processor.
#pragma once

#include <pali/arch/simd.hpp>
#include <pali/core/pass.hpp>
#include <pali/kernels/attention/loop_keys.hpp>
#include <pali/kernels/attention/rows_bf16_avx512.hpp>
#include <pali/kernels/attention/rows_tiles.hpp>
#include <pali/kernels/self_checks.hpp>

#include <concepts>

namespace pali { inline namespace PALI_ABI { namespace kernels { inline namespace PALI_SIMD {

/// Calls loop_keys() with the kernel for the processor. For bfloat16 keys and values, this is AMX in a prefill, otherwise AVX512-BF16, each
/// if the processor has it.
template <weight_element Element>
void attend(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen, const prefix_mask& mask, rows<float> out,
            [[maybe_unused]] pass kind, thread_pool& threads, arena& scratch) {
#if PALI_AVX512_KERNELS
    if constexpr (std::same_as<Element, bfloat16>) {
        if (kind == pass::prefill && usable().amx_bf16)
            return loop_keys<rows_tiles<arch::amx_tiles>>(arch::native, shape, q, seen, mask, out, threads, scratch);
        if (usable().avx512_bf16) return loop_keys<rows_bf16_avx512>(arch::native, shape, q, seen, mask, out, threads, scratch);
    }
#endif
    loop_keys<rows_simd<xsimd::default_arch, Element>>(arch::native, shape, q, seen, mask, out, threads, scratch);
}

}}}} // namespace pali::PALI_ABI::kernels::PALI_SIMD
