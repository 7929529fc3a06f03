// Run-time dispatch over kernels that are compiled once per level: the list of the levels in the program, and the level that is selected on
// first use.
#pragma once

#include <pali/arch/cpu_features.hpp>

#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace kernels {
struct entry_points;
}}} // namespace pali::PALI_ABI::kernels

namespace pali { inline namespace PALI_ABI { namespace arch {

/// The kernels of one level. They form an object file with one compiled_level in static storage, which registers itself before any dynamic
/// initialization of the program.
struct compiled_level {
    level which;                          ///< the level that the object is compiled for
    bool is_whole;                        ///< whether the object has the kernels of all extensions, not only those of the level
    const kernels::entry_points* kernels; ///< entry points of the level's kernels
    const compiled_level* next = nullptr; ///< next in the list
};

/// Adds a level to the list. Called during program startup, before any thread starts.
void add(compiled_level& one) noexcept;
/// The compiled levels, from low to high.
[[nodiscard]] std::vector<const compiled_level*> compiled_levels();

/// A level and the extensions that its kernels use.
struct selection {
    const compiled_level* level = nullptr; ///< the selected level, from the list
    features extensions;                   ///< the extensions to use, for all of which the object has kernels
};

/// Selects the level and the extensions. Without `name`, it selects the highest level of `compiled` up to `highest`, with those extensions
/// of `there` for which the level has kernels. `name` is the value of PALI_ARCH:
/// - "x86-64", "x86-64-v3", "x86-64-v4", "neon": that level with all its extensions
/// - "simd": the lowest level, without extensions
/// - "avx2": x86-64-v3 without extensions beyond AVX2
/// - "vnni", "bf16", "amx": the highest level, with all extensions up to the named one
///
/// Throws errc::unsupported_arch for a level that is not compiled or that the processor lacks, and if no compiled level fits the processor.
[[nodiscard]] selection select(std::string_view name, const std::vector<const compiled_level*>& compiled, level highest,
                               const features& there);

/// The level and extensions for this processor and PALI_ARCH, selected on the first call. Throws what select() throws.
[[nodiscard]] const selection& selected();

}}} // namespace pali::PALI_ABI::arch
