// Body of require_fit.hpp: the error message.
#pragma once

#include <pali/config/differences.hpp>
#include <pali/config/require_fit.hpp>
#include <pali/core/error.hpp>
#include <pali/core/short_list.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

PALI_INLINE void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read) {
    const std::vector<config_difference> found = differences(read.sizes, compiled);
    if (found.empty()) return;
    short_list all;
    for (const config_difference& one : found)
        all.add({one.field, " is ", one.first, " in the checkpoint but ", one.second, " in the type"});
    const std::optional<std::string_view> fitting = matching_variant(read.sizes);
    throw error(errc::config_mismatch,
                {read.file.string(), ": does not fit the compiled model", name == "custom" ? "" : error_text{", ", name}, ":",
                 all.joined("\n  "),
                 fitting ? error_text{"\nUse the variant that fits, ", *fitting, ", or pali::dynamic."}
                         : "\nNo shipped variant fits; use pali::dynamic, which reads its sizes from the checkpoint."});
}

}}} // namespace pali::PALI_ABI::config_detail
