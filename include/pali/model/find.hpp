// Converts answers of detect and segment to objects: boxes in pixels, scores, masks.
#pragma once

#include <pali/core/context.hpp>
#include <pali/model/findings.hpp>
#include <pali/objects/constraint.hpp>
#include <pali/objects/grammar.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/objects/object_score.hpp>
#include <pali/objects/place_mask.hpp>
#include <pali/text/tokenizer.hpp>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace model_detail {

/// Returns the generation options for a detect or segment prompt: options.generate, with decoding restricted to the grammar if
/// options.constrained is set. In that case it throws what object_constraint throws.
[[nodiscard]] inline generate_options decoding_of(const find_options& options, pointing kind, std::string_view things,
                                                  const tokenizer& text) {
    generate_options chosen = options.generate;
    if (options.constrained) chosen.constrain = object_constraint(text, asked_labels(things_of(kind, things)), kind == pointing::masks);
    return chosen;
}

inline namespace PALI_SIMD {

/// Parses an answer about an image of width x height pixels. `decoder` decodes the masks, one decoder pass per mask; if it is null, objects
/// have no masks. The text of the answer never causes an error. Throws errc::invalid_argument for invalid options and if the numbers of
/// tokens and log-probabilities differ.
[[nodiscard]] inline findings read_findings(generation said, const tokenizer& text, std::size_t width, std::size_t height,
                                            const mask_vqvae* decoder, const find_options& options, context& ctx) {
    findings found;
    spoken_objects spoken = read_objects(said.text);
    const std::vector<text_range> ranges = token_ranges(text, said.tokens);
    for (const spoken_object& one : spoken.objects)
        found.objects.push_back({.label = one.label,
                                 .score = score_of(one, ranges, said.logprobs),
                                 .box = box_of(one.loc, width, height, options.loc_divisor)});
    if (options.merge) { // before masks are decoded, because dropped objects need no mask
        const std::vector<std::size_t> kept = distinct(found.objects, *options.merge);
        for (std::size_t i = 0; i < kept.size(); ++i) {
            if (kept[i] == i) continue;
            found.objects[i] = std::move(found.objects[kept[i]]);
            spoken.objects[i] = std::move(spoken.objects[kept[i]]);
        }
        found.objects.resize(kept.size());
    }
    for (std::size_t i = 0; decoder && i < found.size(); ++i) {
        const spoken_object& one = spoken.objects[i];
        if (one.seg)
            found.objects[i].mask = place_mask(decoder->decode(*one.seg, ctx), one.loc, width, height, options.masks, options.loc_divisor);
    }
    found.skipped = spoken.skipped;
    found.text = std::move(spoken.text);
    found.said = std::move(said);
    return found;
}

} // namespace PALI_SIMD

}}} // namespace pali::PALI_ABI::model_detail
