// What makes tokens less likely or impossible before one is drawn: each equals transformers' processor or warper of that name
// (generation/logits_process.py, 5.23), in float32, without sorting the vocabulary.
#pragma once

#include <pali/generate/decimal.hpp>
#include <pali/text/token.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// A token that can be drawn, and what processors order and weigh it by.
struct drawable {
    float key = 0, probability = 0; ///< what tokens are ordered by; 0 to 1
    std::uint32_t place = 0;        ///< among the logits
};

/// Memory that processors work in, for one size of vocabulary.
struct processor_memory {
    /// 17 bytes a token of the vocabulary.
    explicit processor_memory(std::size_t vocabulary) : values(vocabulary), tokens(vocabulary), marks(vocabulary) {}

    std::vector<float> values;       ///< (vocabulary), what a processor has to note of each logit
    std::vector<drawable> tokens;    ///< (vocabulary), those that can be drawn in front
    std::vector<std::uint8_t> marks; ///< all 0 between calls
};

namespace detail {

inline constexpr float impossible = -std::numeric_limits<float>::infinity();

/// The tokens that can be drawn at all, with their logits as keys, and their probabilities. NaN is not among them, and none is where a
/// logit is infinite, so that any order of them is a total one.
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

/// How many tokens, from the smallest key on, have a running sum of probabilities, begun at `sum`, that `fits`; of equal keys the first
/// place comes first. They come to stand in front, and the next one after them; nothing else is sorted. Linear on average: the half that is
/// settled is left alone.
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

} // namespace detail

/// RepetitionPenaltyLogitsProcessor: the logits of tokens in `sequence` are divided by `penalty`, or multiplied when negative; once each.
/// Ids outside the logits are passed over.
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

/// MinNewTokensLengthLogitsProcessor, where it applies: these tokens (EOS) become impossible.
inline void suppress(std::span<float> logits, std::span<const token> ids) noexcept {
    for (const token id : ids)
        if (id >= 0 && static_cast<std::size_t>(id) < logits.size()) logits[static_cast<std::size_t>(id)] = detail::impossible;
}

/// TemperatureLogitsWarper. `temperature` is more than 0.
inline void apply_temperature(std::span<float> logits, float temperature) noexcept {
    for (float& x : logits) x /= temperature;
}

/// TopKLogitsWarper: the k largest stay, and what equals the smallest of them. `k` is 1 or more.
inline void keep_top_k(std::span<float> logits, std::size_t k, processor_memory& memory) noexcept {
    std::size_t count = 0;
    for (const float x : logits)
        if (x > detail::impossible) memory.values[count++] = x;
    if (count <= k) return;
    const auto kth = memory.values.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(memory.values.begin(), kth, memory.values.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>());
    const float smallest = *kth;
    for (float& x : logits)
        if (x < smallest) x = detail::impossible;
}

/// TopPLogitsWarper: goes, from the least likely on, what together has no more than 1 - p. Of equals the first go first:
/// torch.sort leaves that open, this is what a stable one does. One token always stays.
inline void keep_top_p(std::span<float> logits, float p, processor_memory& memory) {
    auto tokens = detail::softmax(logits, memory);
    if (tokens.empty()) return;
    const auto going = static_cast<float>(1 - detail::as_written(p));
    // Those below this go whatever else there is: all of them together do not reach `going`. With a real model that is nearly all.
    const double negligible = 0.999 * static_cast<double>(going) / static_cast<double>(tokens.size());
    double gone = 0;
    std::size_t left = 0;
    for (const drawable& t : tokens) {
        if (static_cast<double>(t.probability) > negligible) {
            memory.tokens[left++] = t;
        } else {
            gone += static_cast<double>(t.probability);
            logits[t.place] = detail::impossible;
        }
    }
    tokens = tokens.first(left);
    const std::size_t count = detail::leading(tokens, gone, [&](float sum) { return sum <= going; });
    for (const drawable& t : tokens.first(std::min(count, left - 1))) logits[t.place] = detail::impossible;
}

/// MinPLogitsWarper: what is less likely than p times the most likely token goes.
inline void keep_min_p(std::span<float> logits, float p, processor_memory& memory) noexcept {
    const auto tokens = detail::softmax(logits, memory);
    float top = 0;
    for (const drawable& t : tokens) top = std::max(top, t.probability);
    const float least = p * top;
    for (const drawable& t : tokens)
        if (t.probability < least) logits[t.place] = detail::impossible;
}

/// TypicalLogitsWarper: tokens whose surprise is nearest to the expected one stay, as many as together reach `mass`, and what equals the
/// last.
inline void keep_typical(std::span<float> logits, float mass, processor_memory& memory) {
    const auto tokens = detail::softmax(logits, memory);
    if (tokens.empty()) return;
    float top = detail::impossible;
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
    const std::size_t count = detail::leading(tokens, 0, [&](float reached) { return reached < mass; });
    if (count == tokens.size()) return;
    const float farthest = tokens[count].key;
    for (const drawable& t : tokens)
        if (t.key > farthest) logits[t.place] = detail::impossible;
}

}} // namespace pali::PALI_ABI
