// One of the matrices that the same activations are multiplied with.
#pragma once

#include <pali/core/rows.hpp>

namespace pali::inline PALI_ABI::kernels {

/// A term of y = x · wᵀ + bias besides x. Products take several beside one x, and do once what they do to x: queries, keys and values are such a case.
template <class Weights>
struct factor {
    Weights weights;             ///< w (N, K), as stored
    const float* bias = nullptr; ///< (N), or none
    rows<float> y;               ///< (T, N); not x
};

/// factor{w, bias, y}, also where a compiler does not deduce this by itself.
template <class Weights>
factor(Weights, const float*, rows<float>) -> factor<Weights>;

} // namespace pali::inline PALI_ABI::kernels
