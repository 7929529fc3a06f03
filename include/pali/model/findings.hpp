// What detect and segment are asked for, and what they give.
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

/// What pointing at things is.
enum class pointing {
    boxes, ///< "detect"
    masks, ///< "segment"
};

namespace find_detail {

constexpr std::string_view blanks = " \t\r\n";

/// Without the blanks and line breaks at both ends.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) noexcept {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

/// Whether the text begins with the verb, in letters of either case, and a blank or nothing follows.
[[nodiscard]] constexpr bool begins_with_verb(std::string_view text, std::string_view verb) noexcept {
    if (text.size() < verb.size() || (text.size() > verb.size() && blanks.find(text[verb.size()]) == blanks.npos)) return false;
    return std::equal(verb.begin(), verb.end(), text.begin(),
                      [](char wanted, char c) { return wanted == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c); });
}

} // namespace find_detail

/// The things in what people write for them: "cat ; dog", or the whole prompt, "detect cat ; dog", with what read_prompt() takes off and
/// without blanks around it. The verb may be in capitals. Throws errc::invalid_prompt for the prompt of the other kind, and where nothing
/// is named.
[[nodiscard]] inline std::string_view things_of(pointing kind, std::string_view text) {
    constexpr std::string_view for_boxes = "detect", for_masks = "segment";
    std::string_view things = find_detail::trimmed(read_prompt(text));
    const std::string_view own = kind == pointing::boxes ? for_boxes : for_masks, other = kind == pointing::boxes ? for_masks : for_boxes;
    if (find_detail::begins_with_verb(things, other))
        throw error(errc::invalid_prompt, {in_quotes(things), " asks for ", kind == pointing::boxes ? "masks" : "boxes",
                                           ": that is another call (detect for boxes, segment for masks)"});
    if (find_detail::begins_with_verb(things, own)) things = find_detail::trimmed(things.substr(own.size()));
    if (things.find_first_not_of(" \t\r\n;") == things.npos)
        throw error(errc::invalid_prompt, {in_quotes(text), " names nothing to find: \"cat ; dog\" for instance"});
    return things;
}

/// The prompt that asks for it: "detect cat ; dog". Throws what things_of() throws.
[[nodiscard]] inline std::string prompt_of(pointing kind, std::string_view things) {
    return (kind == pointing::boxes ? "detect " : "segment ") + std::string(things_of(kind, things));
}

/// How things are found. model.detect(photo, "cat ; dog") has all the defaults.
struct find_options {
    generate_options generate{};          ///< how the answer is decoded
    bool constrained = false;             ///< decode within the grammar: the answer is well formed and has only the labels asked for
    std::optional<merge_options> merge{}; ///< drop what is said twice
    mask_style masks = mask_style::hard;  ///< how a mask is placed in the image
    int loc_divisor = 1024;               ///< what coordinates are divided by: 1024, or 1023 as big_vision does

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        generate.validate();
        (void)box_of({}, 1, 1, loc_divisor);
        if (merge) (void)pali::merge({}, *merge);
    }
};

/// What was found in an image. A range of objects, with what else was said.
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

}} // namespace pali::PALI_ABI
