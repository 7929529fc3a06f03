// The tensors of a checkpoint by their published names.
#pragma once

#include <pali/files/tensor_table.hpp>
#include <pali/weights/names.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// Finds tensors by published name, whatever their names in the file. The table must outlive this object.
class published_tensors {
public:
    /// Reads only the names.
    explicit published_tensors(const tensor_table& tensors) {
        const tensor_names names(tensors);
        for (const auto& [name, tensor] : tensors) m_tensors.emplace(names.published(name), &tensor);
    }

    /// The tensor with this published name; null if the checkpoint does not have it.
    [[nodiscard]] const tensor_info* find(std::string_view name) const {
        const auto found = m_tensors.find(name);
        return found == m_tensors.end() ? nullptr : found->second;
    }

    /// Whether the checkpoint lacks `name`, or has the same bytes under both names. Reads both tensors.
    [[nodiscard]] bool omits_or_repeats(std::string_view name, std::string_view other) const {
        const tensor_info *const mine = find(name), *const its = find(other);
        return mine == nullptr || (its != nullptr && std::ranges::equal(mine->bytes, its->bytes));
    }

private:
    std::map<std::string, const tensor_info*, std::less<>> m_tensors;
};

}}} // namespace pali::PALI_ABI::weights
