// The kernels of one level, as an object that registers itself in the program's list of levels. This file is compiled once per level, with
// PALI_LEVEL and the compiler flags of that level.
#pragma once

#include <pali/arch/dispatch.hpp>
#include <pali/kernels/own_level.hpp>

namespace pali { inline namespace PALI_ABI { namespace arch { inline namespace PALI_SIMD {

/// The level of this object, derived from the compiler flags.
inline constexpr level own =
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    level::x86_64_v4;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__BMI__) && defined(__BMI2__) && defined(__F16C__) && defined(__LZCNT__) &&         \
    defined(__MOVBE__)
    level::x86_64_v3;
#else
    level::baseline;
#endif

constinit compiled_level this_level{.which = own,
#ifdef PALI_LEVEL
                                    .is_whole = false,
#else
                                    .is_whole = true,
#endif
                                    .kernels = &kernels::own_level};

/// Runs before dynamic initialization, because the constructor of a global object may already open a model.
[[gnu::constructor(101)]] static void enter() noexcept { add(this_level); }

}}}} // namespace pali::PALI_ABI::arch::PALI_SIMD
