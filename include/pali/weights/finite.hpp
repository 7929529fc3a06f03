// Finds weights that are NaN or infinite.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/short_list.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/kernels/pointwise/are_finite.hpp>
#include <pali/weights/convert.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// Index of the first element that is NaN or infinite; std::nullopt if there is none, or if the dtype is not BF16, F16 or F32.
[[nodiscard]] inline std::optional<std::size_t> find_not_finite(const tensor_info& tensor) noexcept {
    if (!is_convertible(tensor.type)) return std::nullopt;
    constexpr std::size_t piece = 4096;
    float values[piece];
    const std::size_t count = tensor.count();
    for (std::size_t first = 0; first < count; first += piece) {
        const std::size_t n = std::min(piece, count - first);
        convert(tensor, first, n, values);
        if (kernels::are_finite(values, n)) continue;
        for (std::size_t i = 0; i < n; ++i)
            if (!std::isfinite(values[i])) return first + i;
    }
    return std::nullopt;
}

/// Lists the tensors with an element that is NaN or infinite, except those in `without`: "model.safetensors: tensor 'norm.weight' has nan
/// at (12, 3)".
[[nodiscard]] inline short_list describe_not_finite(const tensor_table& tensors, const std::set<std::string, std::less<>>& without = {}) {
    short_list found;
    for (const auto& [name, tensor] : tensors) {
        if (without.contains(name)) continue;
        const auto at = find_not_finite(tensor);
        if (!at) continue;
        std::vector<std::size_t> place(tensor.shape.size());
        std::size_t rest = *at;
        for (std::size_t i = place.size(); i-- > 0; rest /= tensor.shape[i]) place[i] = rest % tensor.shape[i];
        float value = 0;
        convert(tensor, *at, 1, &value);
        found.add({tensor.file, ": tensor ", in_quotes(name), " has ",
                   std::isnan(value) ? "nan"
                   : value > 0       ? "inf"
                                     : "-inf",
                   " at ", describe_shape(place)});
    }
    return found;
}

}}} // namespace pali::PALI_ABI::weights
