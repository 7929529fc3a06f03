// Run-length encoding (RLE) of masks in the format of COCO and pycocotools.
#pragma once

#include <pali/core/error.hpp>
#include <pali/image/mask.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI {

/// Uncompressed RLE: run lengths in column-major order from the top left corner, alternating between outside and inside, starting with
/// outside (may be 0).
struct run_lengths {
    std::size_t width = 0;           ///< in pixels
    std::size_t height = 0;          ///< in pixels
    std::vector<std::size_t> counts; ///< run lengths: outside, inside, outside, ...

    /// Number of pixels inside.
    [[nodiscard]] std::size_t area() const noexcept {
        std::size_t sum = 0;
        for (std::size_t i = 1; i < counts.size(); i += 2) sum += counts[i];
        return sum;
    }

    friend bool operator==(const run_lengths&, const run_lengths&) = default;
};

/// Encodes a mask; values from mask::inside up are inside.
[[nodiscard]] inline run_lengths runs_of(const mask& from) {
    run_lengths made{.width = from.width, .height = from.height, .counts = {0}};
    bool inside = false;
    for (std::size_t x = 0; x < from.width; ++x)
        for (std::size_t y = 0; y < from.height; ++y) {
            if (from.contains(x, y) != inside) {
                made.counts.push_back(0);
                inside = !inside;
            }
            ++made.counts.back();
        }
    return made;
}

/// Decodes to a mask of values 0 and 255. Throws `invalid_argument` unless the counts sum to width * height.
[[nodiscard]] inline mask mask_of(const run_lengths& runs) {
    const bool is_countable = runs.height == 0 || runs.width <= static_cast<std::size_t>(-1) / runs.height;
    std::size_t left = is_countable ? runs.width * runs.height : 0;
    const bool fits = std::all_of(runs.counts.begin(), runs.counts.end(), [&](std::size_t count) {
        const bool is_left = count <= left;
        left -= is_left ? count : 0;
        return is_left;
    });
    if (!is_countable || !fits || left != 0)
        throw error(errc::invalid_argument, {"mask_of: the runs do not fill a mask of ", runs.width, " x ", runs.height});
    mask made(runs.width, runs.height);
    std::size_t at = 0;
    for (std::size_t i = 0; i < runs.counts.size(); ++i)
        for (const std::size_t end = at + runs.counts[i]; at < end; ++at)
            if (i % 2 == 1) made.values[at % runs.height * runs.width + at / runs.height] = 255;
    return made;
}

/// The compressed string of pycocotools (maskApi.c, rleToString). From the fourth count on, the count two places before is subtracted. Each
/// value is written in groups of five bits, lowest first; a sixth bit marks continuation, and '0' is added. The characters are '0' to 'o',
/// including the backslash.
[[nodiscard]] inline std::string to_string(const run_lengths& runs) {
    std::string out;
    for (std::size_t i = 0; i < runs.counts.size(); ++i) {
        auto rest = static_cast<std::int64_t>(runs.counts[i]);
        if (i > 2) rest -= static_cast<std::int64_t>(runs.counts[i - 2]);
        for (bool more = true; more;) {
            const std::int64_t bits = rest & 31;
            rest >>= 5;
            more = (bits & 16) != 0 ? rest != -1 : rest != 0;
            out += static_cast<char>('0' + (bits | (more ? 32 : 0)));
        }
    }
    return out;
}

/// Parses a compressed string. Throws `malformed_file` if it does not encode a mask of width x height pixels.
[[nodiscard]] inline run_lengths read_runs(std::string_view text, std::size_t width, std::size_t height) {
    constexpr std::size_t most = std::size_t{1} << 40; // pixels: far more than any image has, yet no sum overflows 64 bits
    const auto fail = [&](core::error_text&& what) {
        throw error(errc::malformed_file, {"run lengths for a mask of ", width, " x ", height, ": ", std::move(what).str()});
    };
    if (height != 0 && width > most / height) fail("too large");
    run_lengths made{.width = width, .height = height, .counts = {}};
    std::size_t left = width * height;
    for (std::size_t at = 0; at < text.size();) {
        std::int64_t count = 0;
        for (unsigned shift = 0;; shift += 5) {
            if (at == text.size()) fail("the last number is incomplete");
            const int c = text[at] - '0';
            if (c < 0 || c > 63) fail({"byte ", at, " is not one of '0' to 'o'"});
            if (shift > 45) fail({"the number before byte ", at, " is too long"});
            ++at;
            count += std::int64_t{c & 31} << shift;
            if ((c & 32) != 0) continue;
            if ((c & 16) != 0) count -= std::int64_t{32} << shift;
            break;
        }
        if (made.counts.size() > 2) count += static_cast<std::int64_t>(made.counts[made.counts.size() - 2]);
        if (count < 0 || static_cast<std::size_t>(count) > left) fail("the runs exceed the mask");
        made.counts.push_back(static_cast<std::size_t>(count));
        left -= made.counts.back();
    }
    if (left != 0) fail({left, " pixels are not covered by a run"});
    return made;
}

}} // namespace pali::PALI_ABI
