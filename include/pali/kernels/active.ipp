// Body of active(), the kernels of the selected level. Compiled once; header-only programs have a single level.
#pragma once

#include <pali/arch/dispatch.hpp>
#include <pali/kernels/entry_points.hpp>

namespace pali { inline namespace PALI_ABI { namespace kernels {

const entry_points& active() {
    static const entry_points& of_level = *arch::selected().level->kernels;
    return of_level;
}

}}} // namespace pali::PALI_ABI::kernels
