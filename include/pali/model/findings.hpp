// Options and results of detect and segment.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/generate/generate_options.hpp>
#include <pali/generate/result.hpp>
#include <pali/objects/location_box.hpp>
#include <pali/objects/mask_style.hpp>
#include <pali/objects/merge.hpp>
#include <pali/objects/object.hpp>
#include <pali/text/prompt.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// What the model returns for each object.
enum class pointing {
    boxes, ///< bounding boxes: "detect"
    masks, ///< bounding boxes and masks: "segment"
};

namespace model_detail {

constexpr std::string_view blanks = " \t\r\n";

/// Removes blanks and line breaks at both ends.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) noexcept {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

/// Whether the text begins with the verb, in upper or lower case, followed by a blank or the end of the text.
[[nodiscard]] constexpr bool begins_with_verb(std::string_view text, std::string_view verb) noexcept {
    if (text.size() < verb.size() || (text.size() > verb.size() && blanks.find(text[verb.size()]) == blanks.npos)) return false;
    return std::equal(verb.begin(), verb.end(), text.begin(),
                      [](char wanted, char c) { return wanted == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c); });
}

/// Extracts the list of requested objects from user input, which is either a list such as "cat ; dog" or a whole prompt such as "detect cat
/// ; dog". Removes surrounding blanks and what read_prompt() removes. The verb may be in upper case. Throws errc::invalid_prompt for the
/// verb of the other kind and for an empty list.
[[nodiscard]] inline std::string_view things_of(pointing kind, std::string_view text) {
    constexpr std::string_view for_boxes = "detect", for_masks = "segment";
    std::string_view things = trimmed(read_prompt(text));
    const std::string_view own = kind == pointing::boxes ? for_boxes : for_masks, other = kind == pointing::boxes ? for_masks : for_boxes;
    if (begins_with_verb(things, other))
        throw error(errc::invalid_prompt, {in_quotes(things), " asks for ", kind == pointing::boxes ? "masks" : "boxes",
                                           "; use the call for that: detect for boxes, segment for masks"});
    if (begins_with_verb(things, own)) things = trimmed(things.substr(own.size()));
    if (things.find_first_not_of(" \t\r\n;") == things.npos)
        throw error(errc::invalid_prompt, {in_quotes(text), " has no label; write the labels as in \"cat ; dog\""});
    return things;
}

/// Builds the prompt: "detect cat ; dog". Throws what things_of() throws.
[[nodiscard]] inline std::string prompt_of(pointing kind, std::string_view things) {
    return (kind == pointing::boxes ? "detect " : "segment ") + std::string(things_of(kind, things));
}

} // namespace model_detail

/// Options of detect and segment. The defaults suit model.detect(image, "cat ; dog").
struct find_options {
    generate_options generate{};          ///< how the answer is decoded
    bool constrained = false;             ///< restricts decoding to the grammar: the answer is well-formed and has only requested labels
    std::optional<merge_options> merge{}; ///< removes duplicates
    mask_style masks = mask_style::hard;  ///< how a mask is placed in the image
    int loc_divisor = 1024;               ///< divisor of the coordinates: 1024, or 1023 as in big_vision

    /// Throws errc::invalid_argument with the option, its value and the allowed values.
    void validate() const {
        generate.validate();
        (void)objects::box_of({}, 1, 1, loc_divisor);
        if (merge) (void)pali::merge({}, *merge);
    }
};

/// The objects found in an image, as a range, with the rest of the answer.
struct findings {
    std::vector<object> objects; ///< in the order of the answer
    std::size_t skipped = 0;     ///< number of malformed objects in the answer: truncated, out of range, or without area
    std::string text;            ///< the text of the answer outside objects
    generation said;             ///< the whole answer

    /// Iterator to the first object.
    [[nodiscard]] auto begin() const noexcept { return objects.begin(); }
    /// Iterator past the last object.
    [[nodiscard]] auto end() const noexcept { return objects.end(); }
    /// The number of objects.
    [[nodiscard]] std::size_t size() const noexcept { return objects.size(); }
    /// Whether there are no objects.
    [[nodiscard]] bool empty() const noexcept { return objects.empty(); }
    /// Object `i`, unchecked.
    [[nodiscard]] const object& operator[](std::size_t i) const noexcept { return objects[i]; }
};

}} // namespace pali::PALI_ABI
