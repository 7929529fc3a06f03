// Removes duplicate objects.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/object.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// When two objects count as duplicates.
struct merge_options {
    float iou = 0.5f;       ///< minimum intersection over union of their boxes; above 0, at most 1 (identical boxes only)
    bool same_label = true; ///< their labels must be equal
};

/// Indices of the objects that are not duplicates, in ascending order. Greedy: goes from the highest score down (the first one on ties) and
/// drops duplicates of objects kept before. Throws `invalid_argument` if `iou` is out of range.
[[nodiscard]] std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options = {});

/// Removes duplicates; keeps the objects that distinct() selects, in their order. Throws as distinct() does.
[[nodiscard]] std::vector<object> merge(std::vector<object> objects, const merge_options& options = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/merge.ipp>
#endif
