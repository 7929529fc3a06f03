// Implementation of merge.hpp.
#pragma once

#include <pali/core/error.hpp>
#include <pali/objects/merge.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace pali { inline namespace PALI_ABI {

PALI_INLINE std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options) {
    if (!(options.iou > 0 && options.iou <= 1))
        throw error(errc::invalid_argument, {"merge: iou is ", options.iou, "; it must be above 0 and at most 1"});
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

PALI_INLINE std::vector<object> merge(std::vector<object> objects, const merge_options& options) {
    std::vector<object> out;
    for (const std::size_t i : distinct(objects, options)) out.push_back(std::move(objects[i]));
    return out;
}

}} // namespace pali::PALI_ABI
