// What detect and segment are asked for, and what they give.
#pragma once

#include <pali/generate/options.hpp>
#include <pali/generate/result.hpp>
#include <pali/objects/mask_style.hpp>
#include <pali/objects/merge.hpp>
#include <pali/objects/object.hpp>
#include <pali/objects/pixels.hpp>

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

} // namespace pali::inline PALI_ABI
