// Confidence of an object, from the probabilities of its tokens.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>
#include <pali/objects/grammar.hpp>
#include <pali/text/tokenizer.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Byte range of each token in `tokenizer::decode(tokens)`: one per token, consecutive. The range of a byte piece is its one byte, or the
/// U+FFFD that replaces it. Control pieces, including end of sequence, have an empty range. Compute the ranges once per answer and use them
/// for all its objects.
[[nodiscard]] inline std::vector<text_range> token_ranges(const tokenizer& text, std::span<const token> tokens) {
    std::vector<text_range> ranges;
    ranges.reserve(tokens.size());
    std::size_t at = 0;
    const auto add = [&](std::size_t bytes) {
        ranges.push_back({at, at + bytes});
        at += bytes;
    };
    std::string said, run; // text of one piece; bytes of a run of byte pieces
    for (std::size_t i = 0; i < tokens.size();) {
        run.clear();
        for (; i < tokens.size() && text.kind(tokens[i]) == piece_kind::byte; ++i) run += static_cast<char>(text.byte(tokens[i]));
        for (std::size_t b = 0; b < run.size();) {
            const std::size_t length = first_character(std::string_view(run).substr(b)).length;
            for (std::size_t k = 0; k < length; ++k) add(1);
            if (length == 0) add(replacement_character.size());
            b += std::max<std::size_t>(length, 1);
        }
        if (i == tokens.size()) break;
        const piece_kind kind = text.kind(tokens[i]);
        said.clear();
        if (kind == piece_kind::text) append_piece(said, text.piece(tokens[i]));
        else if (kind == piece_kind::unknown) said = text.unknown_text();
        add(said.size());
        ++i;
    }
    return ranges;
}

/// Confidence, 0 to 1: the geometric mean of the token probabilities of the four coordinates and the label. A geometric mean does not
/// penalize long labels. Mask codes are excluded, because many code sequences mean the same mask.
///
/// `ranges` are the token_ranges() of the answer that `object` was parsed from; `logprobs` are the log-probabilities of its tokens. A token
/// counts if its range overlaps the coordinates or the label. Returns 0 if no token counts. Throws `invalid_argument` unless there is one
/// log-probability per range.
[[nodiscard]] inline float score_of(const spoken_object& object, std::span<const text_range> ranges, std::span<const float> logprobs) {
    if (ranges.size() != logprobs.size())
        throw error(errc::invalid_argument,
                    {"score_of: ", ranges.size(), " tokens with ", logprobs.size(), " log-probabilities; one for each token is needed"});
    double sum = 0;
    std::size_t count = 0, done = 0; // tokens before `done` have been counted
    for (const text_range& part : {object.box_bytes, object.label_bytes}) {
        if (part.empty()) continue;
        const auto first = std::partition_point(ranges.begin(), ranges.end(), [&](const text_range& r) { return r.end <= part.begin; });
        for (auto i = std::max(static_cast<std::size_t>(first - ranges.begin()), done); i < ranges.size() && ranges[i].begin < part.end;
             ++i) {
            done = i + 1;
            if (ranges[i].empty()) continue;
            sum += static_cast<double>(logprobs[i]);
            ++count;
        }
    }
    const double mean = std::exp(sum / static_cast<double>(std::max<std::size_t>(count, 1)));
    return count > 0 && mean > 0 ? static_cast<float>(std::min(mean, 1.0)) : 0.f; // NaN becomes 0
}

}}} // namespace pali::PALI_ABI::objects
