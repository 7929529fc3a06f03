// The version of pali: the only place that states it. CMake and meson read it from here; pali.h has the numbers from it, so C reads it too.
#pragma once

/// @{
/// A part of the version as a number, for `#if`.
#define PALI_VERSION_MAJOR 0
#define PALI_VERSION_MINOR 1
#define PALI_VERSION_PATCH 0
/// @}

/// Inline namespace of every name of the library: one per minor version, so that two of them can be linked into one program; and one of
/// its own where preconditions are checked, so that sources with NDEBUG and without never share a function, of which one checks.
#if defined(NDEBUG)
#  define PALI_ABI v0_1
#else
#  define PALI_ABI v0_1_checked
#endif

#ifdef __cpp_inline_variables // not C, nor the older C++ that pali.h is for as well
/// The library: models, and the parts that they are made of, each of use alone.
namespace pali {
inline namespace PALI_ABI {

/// "major.minor.patch"
inline constexpr const char version[] = "0.1.0";

} // namespace PALI_ABI
} // namespace pali
#endif
