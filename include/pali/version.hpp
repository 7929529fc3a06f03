// The version of pali. This is the only place that states it: CMake and meson parse this file, and pali.h includes it.
#pragma once

/// @{
/// A part of the version as an integer literal, for `#if`.
#define PALI_VERSION_MAJOR 0
#define PALI_VERSION_MINOR 1
#define PALI_VERSION_PATCH 0
/// @}

/// Whether kernels check their preconditions with assert(). In header-only use, this follows NDEBUG. With compiled bodies it is 0, whatever
/// the flags of the sources that use them, unless the build defines it as 1 for all sources. A Debug build of pali::compiled does so.
#ifndef PALI_CHECKED
#  if defined(NDEBUG) || defined(PALI_COMPILED)
#    define PALI_CHECKED 0
#  else
#    define PALI_CHECKED 1
#  endif
#endif

/// Inline namespace of every name in the library. It differs per minor version, so that two versions can be linked into one program. It
/// also differs between checked and unchecked sources, so that they never share a function.
#if !PALI_CHECKED
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, )
#else
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, _checked)
#endif

/// @{
/// Implementation detail: the indirection expands macros before they are joined or stringized.
#define PALI_VERSION_NAME(v, major, minor, end) PALI_VERSION_JOIN(v, major, minor, end)
#define PALI_VERSION_JOIN(v, major, minor, end) v##major##_##minor##end
#define PALI_VERSION_TEXT(major, minor, patch) PALI_VERSION_QUOTE(major) "." PALI_VERSION_QUOTE(minor) "." PALI_VERSION_QUOTE(patch)
#define PALI_VERSION_QUOTE(number) #number
/// @}

#ifdef __cpp_inline_variables // skipped in C and in the older C++ standards that pali.h supports
/// The library: models, and the parts they are built from, each usable on its own.
namespace pali { inline namespace PALI_ABI {

/// "major.minor.patch"
inline constexpr const char version[] = PALI_VERSION_TEXT(PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH);

}} // namespace pali::PALI_ABI
#endif
