// Visitor of a model's tensors. The bind() of each module is the only list of its tensors.
#pragma once

#include <pali/core/rows.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace weights {

/**
 * A node in the tree of names: the argument of bind(). Each module calls it once per tensor, with the published name, the member that holds
 * the tensor, and its shape. Visitors fill the member from a file (binder), list the tensors, quantize them, or write them.
 *
 * - `at[name]`: the node below `name`.
 * - `at.matrix(name, member, shape)`: a matrix in the model's storage, rows<const Element> or quantized_rows<Bits>. The shape may have more
 * than two dimensions, as that of a convolution.
 * - `at.vocabulary(name, member, shape)`: a matrix with one row per token; its last strip may be padded.
 * - `at.vector(name, member, size)`: a vector, always float32 in memory.
 * - `at.has(name)`: whether the checkpoint has the tensor.
 * - `at.omits_or_repeats(name, other)`: whether the checkpoint lacks `name`, or `name` equals `other` bit by bit, so that one of them is
 * enough.
 */
template <class V>
concept tensor_visitor = requires(const V& at, const std::string& name, rows<const float>& matrix, const float*& vector,
                                  const std::vector<std::size_t>& shape, std::size_t size) {
    { at[name] } -> std::same_as<V>;
    at.matrix(name, matrix, shape);
    at.vocabulary(name, matrix, shape);
    at.vector(name, vector, size);
    { at.has(name) } -> std::convertible_to<bool>;
    { at.omits_or_repeats(name, name) } -> std::convertible_to<bool>;
};

}}} // namespace pali::PALI_ABI::weights
