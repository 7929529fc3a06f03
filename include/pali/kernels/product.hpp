// The matrix product of the networks: one front, and the kernel that suits weights, rows and processor.
#pragma once

#include <pali/arch/features.hpp>
#include <pali/kernels/dot_avx512.hpp>
#include <pali/kernels/matmul_amx.hpp>
#include <pali/kernels/matmul_avx512.hpp>
#include <pali/kernels/matmul_quantised.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>

/// Loops over numbers: no names, no files, no models. What they are given is checked by PALI_ASSERT alone.
namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// y = x · wᵀ + bias for each factor: x (T, K) float32. Beside bfloat16 weights, a processor that multiplies bfloat16 rounds x to it: AMX where there are many
/// rows, AVX512-BF16 always. Else x is not rounded.
template <weight_element Element>
void product(rows<const float> x, std::initializer_list<factor<rows<const Element>>> with, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if constexpr (std::same_as<Element, bfloat16>) {
        if (x.count >= detail::many_rows && arch::in_use().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return stored_panels{w}; }, threads, scratch);
        if (arch::in_use().avx512_bf16) return matmul_avx512(x, with, threads, scratch);
    }
#endif
    matmul(arch::native, x, with, threads, scratch);
}

/// The same for quantised weights. x is rounded to bytes, group by group; where there are many rows AMX rounds it to bfloat16, and a processor that has no kernel for bytes not
/// at all.
template <std::size_t Bits>
void product(rows<const float> x, std::initializer_list<factor<quantised_rows<Bits>>> with, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if (x.count >= detail::many_rows && arch::in_use().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return quantised_panels<Bits>{w}; }, threads, scratch);
    if (arch::in_use().avx512_vnni && x.count == 1) return matmul_of_bytes<avx512_vnni_token_dot>(x, with, threads, scratch);
    if (arch::in_use().avx512_vnni) return matmul_of_bytes<avx512_vnni_dot>(x, with, threads, scratch);
    if (arch::in_use().avx_vnni) return matmul_of_bytes<avx_vnni_dot>(x, with, threads, scratch);
    if (arch::in_use().avx2) return matmul_of_bytes<avx2_dot>(x, with, threads, scratch);
#endif
    if (x.count >= detail::many_rows) return matmul_of_panels(arch::native, x, with, threads, scratch);
    matmul_of_bytes<portable_dot>(x, with, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
