// Softmax of a row of logits, in log space, and argmax.
#pragma once

#include <pali/kernels/entry_points.hpp>
#include <pali/text/token.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace pali { inline namespace PALI_ABI { namespace decoding { inline namespace PALI_SIMD {

/// Index of the largest value; of equal values, the first. If there is a NaN, the index of the first NaN, like torch.argmax. 0 if empty.
[[nodiscard]] inline std::size_t argmax(std::span<const float> values) noexcept {
    return kernels::active().argmax(values.data(), values.size());
}

/// log(sum(exp(logits))).
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits) noexcept {
    if (logits.empty()) return -std::numeric_limits<double>::infinity();
    const float top = logits[argmax(logits)];
    return static_cast<double>(top) + std::log(kernels::active().sum_of_exp(logits.data(), logits.size(), top, 0));
}

/// Natural log-probability of one token.
[[nodiscard]] inline float log_softmax_at(std::span<const float> logits, token id) noexcept {
    return static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(id)]) - log_sum_exp(logits));
}

/// Natural log-probabilities of all tokens. `out` may alias `logits`.
inline void log_softmax(std::span<const float> logits, std::span<float> out) noexcept {
    const double sum = log_sum_exp(logits);
    for (std::size_t i = 0; i < logits.size(); ++i) out[i] = static_cast<float>(static_cast<double>(logits[i]) - sum);
}

}}}} // namespace pali::PALI_ABI::decoding::PALI_SIMD
