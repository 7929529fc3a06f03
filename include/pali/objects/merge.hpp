// Removes duplicate objects.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/objects/object.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Decides which objects count as duplicates.
struct merge_options {
    float iou = 0.5f;       ///< minimum intersection over union of their boxes; above 0, at most 1 (identical boxes only)
    bool same_label = true; ///< their labels must be equal
};

/// Indices of the objects that are not duplicates, in ascending order. Greedy: visits the objects by decreasing score, ties in order, and
/// drops each one that duplicates an object already kept. Throws `invalid_argument` if `iou` is out of range.
[[nodiscard]] std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options = {});

/// Removes duplicates; keeps the objects that distinct() selects, in their order. Throws as distinct() does.
[[nodiscard]] std::vector<object> merge(std::vector<object> objects, const merge_options& options = {});

}} // namespace pali::PALI_ABI

#ifndef PALI_COMPILED
#  include <pali/objects/merge.ipp>
#endif
