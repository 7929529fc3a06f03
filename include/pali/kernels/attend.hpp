// The attention of the networks: one front, and the kernel that suits keys, values and processor.
#pragma once

#include <pali/arch/features.hpp>
#include <pali/kernels/attention.hpp>
#include <pali/kernels/attention_amx.hpp>
#include <pali/kernels/attention_avx512.hpp>

#include <concepts>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// attention(); over bfloat16 by what multiplies it: AMX where there are many queries, AVX512-BF16 always.
template <weight_element Element>
void attend(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if constexpr (std::same_as<Element, bfloat16>) {
        if (q.count >= detail::many_rows && arch::in_use().amx_bf16) return attention_amx(arch::amx_tiles{}, arch::native, shape, q, seen, mask, out, threads, scratch);
        if (arch::in_use().avx512_bf16) return attention_avx512(arch::native, shape, q, seen, mask, out, threads, scratch);
    }
#endif
    attention(arch::native, shape, q, seen, mask, out, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
