// Body of active(), which returns the kernels of the selected level. It is compiled once. Header-only programs have a single level and do
// not use this file.
#pragma once

#include <pali/arch/dispatch.hpp>
#include <pali/kernels/entry_points.hpp>

namespace pali { inline namespace PALI_ABI { namespace kernels {

const entry_points& active() {
    static const entry_points& of_level = *arch::selected().level->kernels;
    return of_level;
}

}}} // namespace pali::PALI_ABI::kernels
