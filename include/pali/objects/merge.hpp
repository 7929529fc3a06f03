// One object where a model said it twice.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/object.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// When two objects are one.
struct merge_options {
    float iou = 0.5f;       ///< their boxes' intersection over union is at least this; above 0, at most 1, which is equal boxes alone
    bool same_label = true; ///< and their labels are equal
};

/// Which of them are not duplicates, as rising indices: goes from the highest score down (the earlier of equals first) and leaves out what
/// is one with an object kept before. Throws `invalid_argument` for an `iou` out of range.
[[nodiscard]] std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options = {});

/// Drops duplicates; what is `distinct` stays, in its order. Throws as it does.
[[nodiscard]] std::vector<object> merge(std::vector<object> objects, const merge_options& options = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/merge.ipp>
#endif
