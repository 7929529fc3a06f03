// Answers of detect and segment as objects: boxes in pixels, scores, masks.
#pragma once

#include <pali/core/context.hpp>
#include <pali/generate/options.hpp>
#include <pali/generate/result.hpp>
#include <pali/objects/constraint.hpp>
#include <pali/objects/grammar.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/objects/merge.hpp>
#include <pali/objects/object.hpp>
#include <pali/objects/pixels.hpp>
#include <pali/objects/place_mask.hpp>
#include <pali/objects/score.hpp>
#include <pali/text/tokenizer.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali::inline PALI_ABI {

/// What pointing at things is.
enum class pointing {
    boxes, ///< "detect"
    masks, ///< "segment"
};

/// The prompt that asks for it: "detect cat ; dog".
[[nodiscard]] inline std::string prompt_of(pointing kind, std::string_view things) {
    return (kind == pointing::boxes ? "detect " : "segment ") + std::string(things);
}

/// How things are found. model.detect(photo, "cat ; dog") has all the defaults.
struct find_options {
    generate_options generate{};             ///< how the answer is decoded
    bool constrained = false;                ///< decode within the grammar: the answer is well formed and has only the labels asked for
    std::optional<merge_options> merge{};    ///< drop what is said twice
    mask_style masks = mask_style::hard;     ///< how a mask is placed in the picture
    int loc_divisor = 1024;                  ///< what coordinates are divided by: 1024, or 1023 as big_vision does

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        generate.validate();
        (void)box_of({}, 1, 1, loc_divisor);
        if (merge) (void)pali::merge({}, *merge);
    }
};

/// What was found in a picture. A range of objects, with what else was said.
struct findings {
    std::vector<object> objects; ///< in the order of the answer
    std::size_t skipped = 0;     ///< parts of the answer that were no object: cut off, out of range, without area
    std::string text;            ///< what was said besides objects
    generation said;             ///< the answer itself

    /// The first object.
    [[nodiscard]] auto begin() const noexcept { return objects.begin(); }
    /// Behind the last one.
    [[nodiscard]] auto end() const noexcept { return objects.end(); }
    /// Objects found.
    [[nodiscard]] std::size_t size() const noexcept { return objects.size(); }
    /// Whether there are none.
    [[nodiscard]] bool empty() const noexcept { return objects.empty(); }
    /// Object `i`; not checked.
    [[nodiscard]] const object& operator[](std::size_t i) const noexcept { return objects[i]; }
};

/// The options that an answer to `things` is decoded with: those of `options`, limited to the grammar where that is wanted.
/// Throws what object_constraint throws then.
[[nodiscard]] inline generate_options decoding_of(const find_options& options, pointing kind, std::string_view things, const tokenizer& text) {
    generate_options chosen = options.generate;
    if (options.constrained) chosen.constrain = object_constraint(text, asked_labels(things), kind == pointing::masks);
    return chosen;
}

inline namespace PALI_SIMD {

/// Reads an answer about a picture of width x height pixels. Masks are decoded by `decoder`; without one, objects have none. Never throws for what the
/// answer says, and errc::invalid_argument for options that find_options::validate() refuses. Each mask costs a pass through the decoder.
[[nodiscard]] inline findings read_findings(generation said, const tokenizer& text, std::size_t width, std::size_t height, const mask_vqvae* decoder,
                                            const find_options& options, context& at) {
    findings found;
    spoken_objects spoken = read_objects(said.text);
    const std::vector<text_range> ranges = token_ranges(text, said.tokens);
    for (const spoken_object& one : spoken.objects)
        found.objects.push_back({.label = one.label, .score = score_of(one, ranges, said.logprobs), .box = box_of(one.loc, width, height, options.loc_divisor)});
    if (options.merge) { // before masks: what is dropped needs none
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
        if (one.seg) found.objects[i].mask = place_mask(decoder->decode(*one.seg, at), one.loc, width, height, options.masks, options.loc_divisor);
    }
    found.skipped = spoken.skipped;
    found.text = std::move(spoken.text);
    found.said = std::move(said);
    return found;
}

} // inline namespace PALI_SIMD

} // namespace pali::inline PALI_ABI
