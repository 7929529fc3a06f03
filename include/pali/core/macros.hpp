// Internal macros of the library, all prefixed with PALI_; users need none.
#pragma once

#include <pali/version.hpp>

// Including a header that does not exist stops the compilation, so the message of #error is not followed by others.
#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : defined(__cplusplus) && __cplusplus < 202002L
#  error "pali needs C++20: compile with -std=c++20 (CMake: target_compile_features(TARGET PRIVATE cxx_std_20), which pali::pali sets)"
#  include <pali_needs_cxx20>
#endif

// The pointer size is checked by #error before any header is included, because a compiler without 32-bit headers stops at the first
// include, before it reaches the static_assert.
#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ != 8
#  error "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space"
#endif
static_assert(sizeof(void*) == 8, "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space");

#include <pali/core/namespaces.hpp>

#include <cassert>

/// Linkage of bodies in *.ipp files: inline by default. With PALI_COMPILED they are compiled once, in the library pali::compiled.
#if defined(PALI_COMPILED)
#  define PALI_INLINE
#else
#  define PALI_INLINE inline
#endif

/// Asserts a precondition of a kernel if PALI_CHECKED is 1; otherwise has no cost.
#if PALI_CHECKED
#  define PALI_ASSERT(condition) assert(condition)
#else
#  define PALI_ASSERT(condition) static_cast<void>(0)
#endif

/// Compiles a function for instruction set extensions that the flags of the translation unit need not include.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#  define PALI_TARGET(features) __attribute__((target(features)))
#else
#  define PALI_TARGET(features)
#endif

/// For a loop whose body already uses all registers: clang would unroll it and spill.
#if defined(__clang__)
#  define PALI_NO_UNROLL _Pragma("clang loop unroll(disable)")
#  define PALI_UNROLL _Pragma("clang loop unroll(full)") ///< for a short loop whose counter selects registers
#  define PALI_UNROLL_EIGHT                                                                                                                \
      _Pragma("clang loop unroll_count(8)") ///< for a longer loop, by eight: clang would spill shared values if it unrolled all
#elif defined(__GNUC__)
#  define PALI_NO_UNROLL
#  define PALI_UNROLL _Pragma("GCC unroll 8")
#  define PALI_UNROLL_EIGHT PALI_UNROLL
#else
#  define PALI_NO_UNROLL
#  define PALI_UNROLL
#  define PALI_UNROLL_EIGHT
#endif

/// For functions and lambdas that an inner loop calls: a real call would spill the loop's registers.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_ALWAYS_INLINE __attribute__((always_inline))
#else
#  define PALI_ALWAYS_INLINE
#endif

/// For a function around an xtensor expression: inlines everything that it calls, so that it is one loop and no function of xtensor
/// remains. clang inlines the calls in the function itself only.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_FLATTEN __attribute__((flatten))
#else
#  define PALI_FLATTEN
#endif

/// For functions on error paths: compiled once, not inlined, small at the call site.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_COLD __attribute__((cold, noinline))
#else
#  define PALI_COLD
#endif

/// Compiler barrier: forces a reload. Without it clang keeps the value live and spills. Not needed with g++, which reloads by itself.
#if defined(__clang__)
#  define PALI_READ_AGAIN __asm__ volatile("" : : : "memory")
#else
#  define PALI_READ_AGAIN (void)0
#endif

/// Forces a vector into a register. Without it g++ reloads the vector from memory for each use, or delays the additions that produce it and
/// spills their operands.
#if defined(__x86_64__) && !defined(__clang__)
#  define PALI_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#  define PALI_IN_REGISTER(vector) (void)0
#endif

/// Forces a pointer to be computed here. Without it clang derives one pointer from another in each iteration of a loop.
#if defined(__clang__)
#  define PALI_WORKED_OUT(pointer) __asm__("" : "+r"(pointer))
#else
#  define PALI_WORKED_OUT(pointer) (void)0
#endif
