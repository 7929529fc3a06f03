// Visitor that lists the tensors of a model.
#pragma once

#include <pali/core/rows.hpp>
#include <pali/weights/published_tensors.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// A tensor that a model reads.
struct listed_tensor {
    std::string name;               ///< published name
    std::vector<std::size_t> shape; ///< published shape

    /// Number of elements.
    [[nodiscard]] std::size_t count() const noexcept { return elements_of(shape); }
};

/// A tensor_visitor that appends each tensor to a list, in the order of the modules. `there` decides which of embedding and head the model
/// reads.
class tensor_list {
public:
    /// Appends to `to`.
    tensor_list(std::vector<listed_tensor>& to, const published_tensors& there, std::string prefix = {})
        : m_to(&to), m_there(&there), m_prefix(std::move(prefix)) {}

    /// @{
    /// Operations of tensor_visitor.
    [[nodiscard]] tensor_list operator[](const std::string& name) const { return {*m_to, *m_there, m_prefix + name + "."}; }
    template <class Matrix>
    void matrix(const std::string& name, Matrix&, const std::vector<std::size_t>& shape) const {
        m_to->push_back({m_prefix + name, shape});
    }
    template <class Matrix>
    void vocabulary(const std::string& name, Matrix&, const std::vector<std::size_t>& shape) const {
        m_to->push_back({m_prefix + name, shape});
    }
    void vector(const std::string& name, const float*&, std::size_t size) const { m_to->push_back({m_prefix + name, {size}}); }
    [[nodiscard]] bool has(const std::string& name) const { return m_there->find(m_prefix + name) != nullptr; }
    [[nodiscard]] bool omits_or_repeats(const std::string& name, const std::string& other) const {
        return m_there->omits_or_repeats(m_prefix + name, m_prefix + other);
    }
    /// @}

private:
    std::vector<listed_tensor>* m_to;
    const published_tensors* m_there;
    std::string m_prefix;
};

}}} // namespace pali::PALI_ABI::weights
