// The version of pali: the only place that states it. CMake and meson read it from here; pali.h has the numbers from it, so C reads it too.
#pragma once

/// @{
/// A part of the version as a number, for `#if`.
#define PALI_VERSION_MAJOR 0
#define PALI_VERSION_MINOR 1
#define PALI_VERSION_PATCH 0
/// @}

/// Whether preconditions of kernels are checked, by assert(). Headers alone follow NDEBUG. Bodies that are compiled once are not checked,
/// whatever the sources that use them do, unless the build defines this to 1 for all of them, as a Debug build of pali::compiled does.
#ifndef PALI_CHECKED
#  if defined(NDEBUG) || defined(PALI_COMPILED)
#    define PALI_CHECKED 0
#  else
#    define PALI_CHECKED 1
#  endif
#endif

/// Inline namespace of every name of the library: one per minor version, so that two of them can be linked into one program; and one of
/// its own where preconditions are checked, so that sources that check and sources that do not never share a function.
#if !PALI_CHECKED
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, )
#else
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, _checked)
#endif

/// @{
/// Not public: macros are expanded before another one joins or quotes them.
#define PALI_VERSION_NAME(v, major, minor, end) PALI_VERSION_JOIN(v, major, minor, end)
#define PALI_VERSION_JOIN(v, major, minor, end) v##major##_##minor##end
#define PALI_VERSION_TEXT(major, minor, patch) PALI_VERSION_QUOTE(major) "." PALI_VERSION_QUOTE(minor) "." PALI_VERSION_QUOTE(patch)
#define PALI_VERSION_QUOTE(number) #number
/// @}

#ifdef __cpp_inline_variables // not C, nor the older C++ that pali.h is for as well
/// The library: models, and the parts that they are made of, each of use alone.
namespace pali { inline namespace PALI_ABI {

/// "major.minor.patch"
inline constexpr const char version[] = PALI_VERSION_TEXT(PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH);

}} // namespace pali::PALI_ABI
#endif
