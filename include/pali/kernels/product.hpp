// The matrix product of the networks: the dispatcher over kernels for weights, kind of pass and processor.
#pragma once

#include <pali/core/pass.hpp>
#include <pali/kernels/dot_avx512.hpp>
#include <pali/kernels/matmul_amx.hpp>
#include <pali/kernels/matmul_avx512.hpp>
#include <pali/kernels/matmul_quantised.hpp>
#include <pali/kernels/usable.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>

/// Loops over numbers: no names, no files, no models. What they are given is checked by PALI_ASSERT alone.
namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// y = x · wᵀ + bias for each factor: x (T, K) float32. With bfloat16 weights, a processor that multiplies bfloat16 rounds x to it: AMX in a prefill, AVX512-BF16 always.
/// Otherwise x is not rounded. The kernel does not depend on T.
template <weight_element Element>
void product(rows<const float> x, std::initializer_list<factor<rows<const Element>>> with, [[maybe_unused]] pass kind, thread_pool& threads, arena& scratch) {
#if PALI_AVX512_KERNELS
    if constexpr (std::same_as<Element, bfloat16>) {
        if (kind == pass::prefill && usable().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return stored_panels{w}; }, threads, scratch);
        if (usable().avx512_bf16) return matmul_avx512(x, with, threads, scratch);
    }
#endif
    matmul(arch::native, x, with, threads, scratch);
}

/// The same for quantised weights. x is rounded to bytes, group by group; in a prefill AMX rounds it to bfloat16, and a processor that has no kernel for bytes does not round it.
template <std::size_t Bits>
void product(rows<const float> x, std::initializer_list<factor<quantised_rows<Bits>>> with, pass kind, thread_pool& threads, arena& scratch) {
#if PALI_AVX512_KERNELS
    if (kind == pass::prefill && usable().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return quantised_panels<Bits>{w}; }, threads, scratch);
    if (usable().avx512_vnni && x.count == 1) return matmul_of_bytes<avx512_vnni_token_dot>(x, with, threads, scratch);
    if (usable().avx512_vnni) return matmul_of_bytes<avx512_vnni_dot>(x, with, threads, scratch);
#endif
#if PALI_AVX2_KERNELS
    if (usable().avx_vnni) return matmul_of_bytes<avx_vnni_dot>(x, with, threads, scratch);
    if (usable().avx2) return matmul_of_bytes<avx2_dot>(x, with, threads, scratch);
#endif
    if (kind == pass::prefill) return matmul_of_panels(arch::native, x, with, threads, scratch);
    matmul_of_bytes<portable_dot>(x, with, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD
