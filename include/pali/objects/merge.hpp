// One object where a model said it twice.
#pragma once

#include <pali/core/error.hpp>
#include <pali/objects/object.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pali::inline PALI_ABI {

/// When two objects are one.
struct merge_options {
    float iou = 0.5f;       ///< their boxes' intersection over union is at least this; above 0, at most 1, which is equal boxes alone
    bool same_label = true; ///< and their labels are equal
};

/// Which of them are not duplicates, as rising indices: goes from the highest score down (the earlier of equals first) and leaves out what is one with an
/// object kept before. Throws `invalid_argument` for an `iou` out of range.
[[nodiscard]] inline std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options = {}) {
    if (!(options.iou > 0 && options.iou <= 1))
        throw error(errc::invalid_argument, "merge: iou " + std::to_string(options.iou) + " is not above 0 and at most 1");
    std::vector<std::size_t> order(objects.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto score = [&](std::size_t i) { return std::isnan(objects[i].score) ? 0.f : objects[i].score; };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) != score(b) ? score(a) > score(b) : a < b; });

    std::vector<std::size_t> kept;
    for (const std::size_t i : order) {
        const bool is_new = std::none_of(kept.begin(), kept.end(), [&](std::size_t k) {
            return (!options.same_label || objects[k].label == objects[i].label) && iou(objects[k].box, objects[i].box) >= options.iou;
        });
        if (is_new) kept.push_back(i);
    }
    std::sort(kept.begin(), kept.end());
    return kept;
}

/// Drops duplicates; what is `distinct` stays, in its order.
[[nodiscard]] inline std::vector<object> merge(std::vector<object> objects, const merge_options& options = {}) {
    std::vector<object> out;
    for (const std::size_t i : distinct(objects, options)) out.push_back(std::move(objects[i]));
    return out;
}

} // namespace pali::inline PALI_ABI
