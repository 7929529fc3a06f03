// Logits processors. Each is equivalent to the processor or warper of transformers that its comment names (generation/logits_process.py,
// 5.23), in float32, but does not sort the whole vocabulary.
#pragma once

#include <pali/core/decimal.hpp>
#include <pali/text/token.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace decoding {

/// A token that can be drawn, as the processors sort and weigh it.
struct drawable {
    float key = 0;           ///< sort key
    float probability = 0;   ///< 0 to 1
    std::uint32_t place = 0; ///< index into the logits
};

/// Scratch memory of the processors, for one vocabulary size.
struct processor_memory {
    /// Allocates 17 bytes per token of the vocabulary.
    explicit processor_memory(std::size_t vocabulary) : values(vocabulary), tokens(vocabulary), marks(vocabulary) {}

    std::vector<float> values;       ///< (vocabulary), per-logit scratch
    std::vector<drawable> tokens;    ///< (vocabulary), tokens that can be drawn come first
    std::vector<std::uint8_t> marks; ///< (vocabulary), all 0 between calls
};

inline constexpr float impossible = -std::numeric_limits<float>::infinity(); ///< logit of a token that must not be drawn

/// Returns the tokens whose logits are above minus infinity, with their probabilities. The logits are the keys. NaN logits are excluded,
/// and the result is empty if a logit is +infinity, so the keys are totally ordered.
[[nodiscard]] inline std::span<drawable> softmax(std::span<const float> logits, processor_memory& memory) noexcept {
    std::size_t count = 0;
    float top = impossible;
    for (std::size_t i = 0; i < logits.size(); ++i)
        if (logits[i] > impossible) {
            memory.tokens[count++] = {logits[i], 0, static_cast<std::uint32_t>(i)};
            top = std::max(top, logits[i]);
        }
    if (top == -impossible) return {};
    const auto found = std::span(memory.tokens).first(count);
    double sum = 0;
    for (drawable& t : found) sum += static_cast<double>(t.probability = std::exp(t.key - top));
    for (drawable& t : found) t.probability /= static_cast<float>(sum);
    return found;
}

/// Adds the probabilities of the tokens to `sum`, in the order of increasing keys, ties by index. Returns how many tokens can be added
/// before fits(sum) becomes false. Moves those tokens to the front, followed by the next one; the rest stays unsorted. The average cost is
/// linear: a quickselect that recurses into one half only.
template <class Fits>
[[nodiscard]] std::size_t leading(std::span<drawable> tokens, double sum, Fits fits) {
    std::size_t begin = 0, end = tokens.size();
    while (begin < end) {
        const std::size_t middle = begin + (end - begin) / 2;
        const auto at = [&](std::size_t i) { return tokens.begin() + static_cast<std::ptrdiff_t>(i); };
        std::nth_element(at(begin), at(middle), at(end),
                         [](const drawable& a, const drawable& b) { return a.key < b.key || (a.key == b.key && a.place < b.place); });
        double reached = sum;
        for (std::size_t i = begin; i <= middle; ++i) reached += static_cast<double>(tokens[i].probability);
        if (fits(static_cast<float>(reached))) {
            sum = reached;
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/// RepetitionPenaltyLogitsProcessor: divides positive logits of the tokens in `sequence` by `penalty` and multiplies negative ones by it,
/// once per distinct token. Ignores ids outside the logits.
inline void penalise_repetition(std::span<float> logits, std::span<const token> sequence, float penalty,
                                processor_memory& memory) noexcept {
    const auto inside = [&](token id) { return id >= 0 && static_cast<std::size_t>(id) < logits.size(); };
    for (const token id : sequence) {
        if (!inside(id) || memory.marks[static_cast<std::size_t>(id)] != 0) continue;
        memory.marks[static_cast<std::size_t>(id)] = 1;
        float& x = logits[static_cast<std::size_t>(id)];
        x = x < 0 ? x * penalty : x / penalty;
    }
    for (const token id : sequence)
        if (inside(id)) memory.marks[static_cast<std::size_t>(id)] = 0;
}

/// MinNewTokensLengthLogitsProcessor, for an answer below the minimum length: makes `ids` (the EOS tokens) impossible.
inline void suppress(std::span<float> logits, std::span<const token> ids) noexcept {
    for (const token id : ids)
        if (id >= 0 && static_cast<std::size_t>(id) < logits.size()) logits[static_cast<std::size_t>(id)] = impossible;
}

/// TemperatureLogitsWarper. `temperature` must be above 0.
inline void apply_temperature(std::span<float> logits, float temperature) noexcept {
    for (float& x : logits) x /= temperature;
}

/// TopKLogitsWarper: keeps the k largest logits and those equal to the smallest of them. `k` must be 1 or more.
inline void keep_top_k(std::span<float> logits, std::size_t k, processor_memory& memory) noexcept {
    std::size_t count = 0;
    for (const float x : logits)
        if (x > impossible) memory.values[count++] = x;
    if (count <= k) return;
    const auto kth = memory.values.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(memory.values.begin(), kth, memory.values.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>());
    const float smallest = *kth;
    for (float& x : logits)
        if (x < smallest) x = impossible;
}

/// TopPLogitsWarper: removes the least likely tokens whose probabilities sum to at most 1 - p. Ties are removed in index order, as a stable
/// sort would; torch.sort leaves this unspecified. At least one token remains.
inline void keep_top_p(std::span<float> logits, float p, processor_memory& memory) {
    auto tokens = softmax(logits, memory);
    if (tokens.empty()) return;
    const auto going = static_cast<float>(1 - as_written(p));
    // Tokens below this threshold are removed in any case, because their sum stays below `going`. In real models that is nearly all tokens.
    const double negligible = 0.999 * static_cast<double>(going) / static_cast<double>(tokens.size());
    double gone = 0;
    std::size_t left = 0;
    for (const drawable& t : tokens) {
        if (static_cast<double>(t.probability) > negligible) {
            memory.tokens[left++] = t;
        } else {
            gone += static_cast<double>(t.probability);
            logits[t.place] = impossible;
        }
    }
    tokens = tokens.first(left);
    const std::size_t count = leading(tokens, gone, [&](float sum) { return sum <= going; });
    for (const drawable& t : tokens.first(std::min(count, left - 1))) logits[t.place] = impossible;
}

/// MinPLogitsWarper: removes tokens less likely than p times the most likely one.
inline void keep_min_p(std::span<float> logits, float p, processor_memory& memory) noexcept {
    const auto tokens = softmax(logits, memory);
    float top = 0;
    for (const drawable& t : tokens) top = std::max(top, t.probability);
    const float least = p * top;
    for (const drawable& t : tokens)
        if (t.probability < least) logits[t.place] = impossible;
}

/// TypicalLogitsWarper: keeps tokens in the order of how close their surprise is to the entropy, until their probabilities reach `mass`.
/// Also keeps tokens tied with the last one.
inline void keep_typical(std::span<float> logits, float mass, processor_memory& memory) {
    const auto tokens = softmax(logits, memory);
    if (tokens.empty()) return;
    float top = impossible;
    for (const drawable& t : tokens) top = std::max(top, t.key);
    double sum = 0, entropy = 0;
    for (const drawable& t : tokens) sum += static_cast<double>(std::exp(t.key - top));
    const auto log_sum = static_cast<float>(std::log(sum));
    for (drawable& t : tokens) {
        t.key = t.key - top - log_sum;
        const float p = std::exp(t.key);
        if (p > 0) entropy -= static_cast<double>(t.key * p);
    }
    for (drawable& t : tokens) t.key = std::abs(-t.key - static_cast<float>(entropy));
    const std::size_t count = leading(tokens, 0, [&](float reached) { return reached < mass; });
    if (count == tokens.size()) return;
    const float farthest = tokens[count].key;
    for (const drawable& t : tokens)
        if (t.key > farthest) logits[t.place] = impossible;
}

}}} // namespace pali::PALI_ABI::decoding
