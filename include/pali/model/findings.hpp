// What detect and segment are asked for, and what they give.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/generate/options.hpp>
#include <pali/generate/result.hpp>
#include <pali/objects/mask_style.hpp>
#include <pali/objects/merge.hpp>
#include <pali/objects/object.hpp>
#include <pali/objects/pixels.hpp>
#include <pali/text/prompt.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pali::inline PALI_ABI {

/// What pointing at things is.
enum class pointing {
    boxes, ///< "detect"
    masks, ///< "segment"
};

/// The things in what people write for them: "cat ; dog", or the whole prompt, "detect cat ; dog", with what read_prompt() takes off. Throws errc::invalid_prompt for the
/// prompt of the other kind.
[[nodiscard]] inline std::string_view things_of(pointing kind, std::string_view text) {
    constexpr std::string_view for_boxes = "detect ", for_masks = "segment ";
    std::string_view things = read_prompt(text);
    const std::string_view own = kind == pointing::boxes ? for_boxes : for_masks, other = kind == pointing::boxes ? for_masks : for_boxes;
    if (things.starts_with(other)) throw error(errc::invalid_prompt, {in_quotes(things), " asks for ", kind == pointing::boxes ? "masks" : "boxes", ": that is another call (detect for boxes, segment for masks)"});
    if (things.starts_with(own)) things.remove_prefix(own.size());
    return things;
}

/// The prompt that asks for it: "detect cat ; dog". Throws what things_of() throws.
[[nodiscard]] inline std::string prompt_of(pointing kind, std::string_view things) {
    return (kind == pointing::boxes ? "detect " : "segment ") + std::string(things_of(kind, things));
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

} // namespace pali::inline PALI_ABI
