// Differences between two configurations.
#pragma once

#include <pali/config/dynamic.hpp>

#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// A field in which two configurations differ.
struct config_difference {
    std::string field;  ///< name in config.json: "text_config.hidden_size"
    std::string first;  ///< value in the first configuration, as text
    std::string second; ///< value in the second configuration, as text
};

/// All differences between two configurations. If there are none, both accept the same weights and compute the same results. For a compiled
/// type, pass sizes_of(type{}).
[[nodiscard]] std::vector<config_difference> differences(const dynamic& a, const dynamic& b);

}}} // namespace pali::PALI_ABI::config_detail

#ifndef PALI_COMPILED
#  include <pali/config/differences.ipp>
#endif
