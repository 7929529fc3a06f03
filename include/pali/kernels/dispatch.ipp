// The kernels of the selected level. Compiled once: programs of headers alone have one level.
#pragma once

#include <pali/arch/dispatch.hpp>
#include <pali/kernels/entry_points.hpp>

namespace pali::inline PALI_ABI::kernels {

const entry_points& active() {
    static const entry_points& of_level = *arch::selected().level->kernels;
    return of_level;
}

} // namespace pali::inline PALI_ABI::kernels
