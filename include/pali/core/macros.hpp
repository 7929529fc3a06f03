// The few macros of the library: internal, all prefixed, none needed by a user.
#pragma once

#include <pali/version.hpp>

// One message, and nothing after it: a missing header ends the compilation.
#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : defined(__cplusplus) && __cplusplus < 202002L
#  error "pali needs C++20: compile with -std=c++20 (CMake: target_compile_features(TARGET PRIVATE cxx_std_20), which pali::pali sets)"
#  include <pali_needs_cxx20>
#endif

// Before any other header: a compiler that has none for 32 bits says this all the same, by #error since such a header ends it before
// anything is asserted.
#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ != 8
#  error "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space"
#endif
static_assert(sizeof(void*) == 8, "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space");

#include <cassert>

/// Bodies in *.ipp files: inline by default; with PALI_COMPILED they are compiled once, in the library pali::compiled.
#if defined(PALI_COMPILED)
#  define PALI_INLINE
#else
#  define PALI_INLINE inline
#endif

/// Precondition of a kernel: checked where PALI_CHECKED is 1, free otherwise.
#if PALI_CHECKED
#  define PALI_ASSERT(condition) assert(condition)
#else
#  define PALI_ASSERT(condition) static_cast<void>(0)
#endif

/// A function compiled for instructions that the translation unit need not have been given flags for.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#  define PALI_TARGET(features) __attribute__((target(features)))
#else
#  define PALI_TARGET(features)
#endif

/// A loop whose body fills the registers, which clang would unroll and spill.
#if defined(__clang__)
#  define PALI_NO_UNROLL _Pragma("clang loop unroll(disable)")
#  define PALI_UNROLL _Pragma("clang loop unroll(full)") ///< a loop of few rounds whose counter picks registers
#  define PALI_UNROLL_EIGHT                                                                                                                \
      _Pragma("clang loop unroll_count(8)") ///< a loop of more rounds, eight at a time: of all of them clang would spill what they share
#elif defined(__GNUC__)
#  define PALI_NO_UNROLL
#  define PALI_UNROLL _Pragma("GCC unroll 8")
#  define PALI_UNROLL_EIGHT PALI_UNROLL
#else
#  define PALI_NO_UNROLL
#  define PALI_UNROLL
#  define PALI_UNROLL_EIGHT
#endif

/// Part of an inner loop: a call would send its registers to memory.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_ALWAYS_INLINE __attribute__((always_inline))
#else
#  define PALI_ALWAYS_INLINE
#endif

/// A function for errors only: compiled once and called, small where it is called.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_COLD __attribute__((cold, noinline))
#else
#  define PALI_COLD
#endif

/// What was read from memory before is read again after it. clang would keep it, in a register that is not there; g++ reads again by
/// itself.
#if defined(__clang__)
#  define PALI_READ_AGAIN __asm__ volatile("" : : : "memory")
#else
#  define PALI_READ_AGAIN (void)0
#endif

/// A vector is in a register here. g++ would read it anew from memory for each of its uses, or put off the sums that make it and hold their
/// terms in memory.
#if defined(__x86_64__) && !defined(__clang__)
#  define PALI_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#  define PALI_IN_REGISTER(vector) (void)0
#endif

/// A pointer is worked out here. clang would work out one from another in each round of a loop.
#if defined(__clang__)
#  define PALI_WORKED_OUT(pointer) __asm__("" : "+r"(pointer))
#else
#  define PALI_WORKED_OUT(pointer) (void)0
#endif
