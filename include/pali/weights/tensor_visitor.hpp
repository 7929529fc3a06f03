// What walks through the tensors of a model: the list of them exists once, in the bind() of each module.
#pragma once

#include <pali/core/rows.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/**
 * A place in the tree of names, as bind() takes it. Each module calls it once for each of its tensors, with the published name, the member
 * that holds the tensor and its shape; what a visitor does with them is its own affair: fill the member from a file (binder), list it,
 * round it to codes, write it.
 *
 * - `at[name]`: the place below `name`.
 * - `at.matrix(name, member, shape)`: a matrix in the storage of the model, rows<const Element> or quantized_rows<Bits>. The shape may have
 * more than two dimensions, as that of a convolution.
 * - `at.vocabulary(name, member, shape)`: a matrix with a row for each token, whose last strip may be filled up.
 * - `at.vector(name, member, size)`: a vector, always float32 in memory.
 * - `at.has(name)`: whether the checkpoint has the tensor.
 * - `at.omits_or_repeats(name, other)`: whether the checkpoint lacks `name`, or `name` holds the same numbers as `other`, so that one of
 * them is enough.
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

}} // namespace pali::PALI_ABI
