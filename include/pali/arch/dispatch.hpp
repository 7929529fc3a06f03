// Kernels that are compiled once per level: the list of those in the program, and the one that is selected on first use.
#pragma once

#include <pali/arch/cpu_features.hpp>

#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace kernels {
struct entry_points;
}}} // namespace pali::PALI_ABI::kernels

namespace pali { inline namespace PALI_ABI { namespace arch {

/// The kernels of one level, in an object of its own. Such an object has one of these with static storage, which enters itself into the
/// list before any dynamic initialisation of the program.
struct compiled_level {
    level which;                          ///< what the object is compiled for
    bool is_whole;                        ///< whether the kernels of every extension are in it, and not only those that go with the level
    const kernels::entry_points* kernels; ///< where they begin
    const compiled_level* next = nullptr; ///< of the list
};

/// Puts a level in the list. Called while the program starts, before any thread of it.
void add(compiled_level& one) noexcept;
/// The levels that were compiled, from low to high.
[[nodiscard]] std::vector<const compiled_level*> compiled_levels();

/// A level and the extensions that its kernels use.
struct selection {
    const compiled_level* level = nullptr; ///< of the list
    features extensions;                   ///< of those that its object has kernels for
};

/// The highest of `compiled` up to `highest`, with the extensions of `there` that it has kernels for, or what `name`, the value of
/// PALI_ARCH, asks for: "x86-64", "x86-64-v3", "x86-64-v4" and "neon" are levels with all their extensions; "simd" is the lowest level
/// without any; "avx2" is x86-64-v3 without any beyond it; "vnni", "bf16" and "amx" are the highest level with the extensions up to it.
/// Throws errc::unsupported_arch for what is not compiled or not there.
[[nodiscard]] selection select(std::string_view name, const std::vector<const compiled_level*>& compiled, level highest,
                               const features& there);

/// The selection for this processor and PALI_ARCH, made once. Throws what select() throws.
[[nodiscard]] const selection& selected();

}}} // namespace pali::PALI_ABI::arch
