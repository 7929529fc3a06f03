// Where two configurations differ.
#pragma once

#include <pali/config/dynamic.hpp>

#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// One number in which two configurations differ.
struct config_difference {
    std::string field;         ///< as config.json calls it: "text_config.hidden_size"
    std::string first, second; ///< its value in each, as text
};

/// All differences of two models; none: the same weights fit both and give the same numbers. What a type says is sizes_of(type{}).
[[nodiscard]] std::vector<config_difference> differences(const dynamic& a, const dynamic& b);

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/config/differences.ipp>
#endif
