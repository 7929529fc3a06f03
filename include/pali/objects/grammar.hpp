// Parses a model's answer into objects: boxes, mask codes and labels, in the model's own units.
#pragma once

#include <pali/core/macros.hpp>
#include <pali/core/utf8.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Byte range [begin, end) of a text.
struct text_range {
    std::size_t begin = 0; ///< offset of the first byte
    std::size_t end = 0;   ///< offset past the last byte

    /// Whether the range is empty.
    [[nodiscard]] bool empty() const noexcept { return begin >= end; }
    /// Length in bytes.
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
    /// The part of `text` in this range.
    [[nodiscard]] std::string_view of(std::string_view text) const noexcept { return text.substr(begin, end - begin); }

    friend bool operator==(const text_range&, const text_range&) = default;
};

/// One object of an answer: box, label and mask codes.
struct spoken_object {
    std::string label;                               ///< trimmed, valid UTF-8; empty if there is none
    std::array<std::uint16_t, 4> loc{};              ///< y0, x0, y1, x1 as generated, 0 to 1023; y0 < y1 and x0 < x1
    std::optional<std::array<std::uint8_t, 16>> seg; ///< mask codes, 0 to 127; std::nullopt unless the answer has all sixteen
    text_range bytes;       ///< range in the answer: from the first <loc....> to the end of the label or, without a label, of the last tag
    text_range box_bytes;   ///< range of the four coordinates
    text_range label_bytes; ///< range of the label in the answer; without a label, an empty range at the end of `bytes`
};

/// A parsed answer.
struct spoken_objects {
    std::vector<spoken_object> objects; ///< in the order of the answer
    std::size_t skipped = 0;            ///< number of malformed objects
    std::string text;                   ///< text outside of objects and malformed objects: trimmed parts joined by spaces; valid UTF-8
};

inline constexpr std::string_view blanks = " \t\n\v\f\r"; ///< characters trimmed from labels and text

/// Trims blanks at both ends.
[[nodiscard]] inline text_range trimmed(std::string_view text, text_range part) noexcept {
    const auto is_blank = [&](std::size_t at) { return blanks.find(text[at]) != std::string_view::npos; };
    while (part.begin < part.end && is_blank(part.begin)) ++part.begin;
    while (part.begin < part.end && is_blank(part.end - 1)) --part.end;
    return part;
}

/// Appends `text`, replacing invalid bytes by U+FFFD.
inline void append_utf8(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = first_character(text).length;
        out += length > 0 ? text.substr(0, length) : replacement_character;
        text.remove_prefix(length > 0 ? length : 1);
    }
}

/// A <loc....> or <seg...> tag, possibly malformed.
struct tag {
    bool is_loc = false;                 ///< `<loc`, not `<seg`
    std::optional<std::uint16_t> number; ///< std::nullopt if digits or the closing bracket are missing, or the number is out of range
    text_range bytes;                    ///< empty if there is no tag at this position
};

/// Parses the tag at byte `at`. A tag cut off by the end of the text counts as malformed.
[[nodiscard]] inline tag tag_at(std::string_view text, std::size_t at) noexcept {
    constexpr std::string_view loc = "<loc", seg = "<seg";
    const std::string_view head = text.substr(at, loc.size());
    if (head.empty() || head[0] != '<') return {};
    if (head.size() < loc.size()) {
        if (!loc.starts_with(head) && !seg.starts_with(head)) return {};
        return {.is_loc = loc.starts_with(head), .number = {}, .bytes = {at, text.size()}};
    }
    if (head != loc && head != seg) return {};
    tag found{.is_loc = head == loc, .number = {}, .bytes = {at, at + head.size()}};
    std::uint32_t number = 0;
    std::size_t& end = found.bytes.end;
    for (; end < text.size() && text[end] >= '0' && text[end] <= '9'; ++end)
        number = number * 10 % 1'000'000 + static_cast<std::uint32_t>(text[end] - '0'); // % avoids overflow; longer numbers are rejected
    const std::size_t digits = end - at - head.size();
    if (end == text.size() || text[end] != '>') return found;
    ++end;
    if (digits == (found.is_loc ? 4u : 3u) && number < (found.is_loc ? 1024u : 128u)) found.number = static_cast<std::uint16_t>(number);
    return found;
}

/// Parses an answer in one pass.
class object_reader {
public:
    /// `answer` must outlive the reader.
    explicit object_reader(std::string_view answer) : m_answer(answer) {}

    /// Reads the whole answer.
    [[nodiscard]] spoken_objects read() {
        for (std::size_t at = 0; at < m_answer.size();) {
            const std::size_t begin = at;
            at = next_tag(at, false);
            say({begin, at});
            if (at == m_answer.size()) break;
            at = read_run(at);
        }
        return std::move(m_read);
    }

private:
    /// Position of the next tag at or after `at`, or of a ';' if `or_semicolon`; the end of the answer if there is none.
    [[nodiscard]] std::size_t next_tag(std::size_t at, bool or_semicolon) const noexcept {
        while ((at = m_answer.find_first_of(or_semicolon ? "<;" : "<", at)) != std::string_view::npos) {
            if (m_answer[at] == ';' || !tag_at(m_answer, at).bytes.empty()) return at;
            ++at;
        }
        return m_answer.size();
    }

    /// Parses tags separated only by blanks, then the label and the ';' that ends it. Returns the position after them.
    [[nodiscard]] std::size_t read_run(std::size_t at) {
        begin_object();
        for (;;) {
            std::size_t next = m_answer.find_first_not_of(blanks, at);
            if (next == std::string_view::npos) next = m_answer.size();
            const tag t = tag_at(m_answer, next);
            if (t.bytes.empty()) break;
            take(t);
            at = t.bytes.end;
        }
        const std::size_t label_end = next_tag(at, true);
        m_object.label_bytes = trimmed(m_answer, {at, label_end});
        end_object();
        return label_end < m_answer.size() && m_answer[label_end] == ';' ? label_end + 1 : label_end;
    }

    void begin_object() {
        m_object = {};
        m_locs = m_segs = 0;
        m_box_is_sound = m_mask_is_sound = true;
    }

    void take(const tag& t) {
        if (t.is_loc && (m_locs == 4 || m_segs > 0)) { // this tag starts the next object
            m_object.label_bytes = {m_object.bytes.end, m_object.bytes.end};
            end_object();
            begin_object();
        }
        if (m_locs == 0 && m_segs == 0) m_object.bytes.begin = t.bytes.begin;
        m_object.bytes.end = t.bytes.end;
        if (t.is_loc) {
            if (m_locs == 0) m_object.box_bytes.begin = t.bytes.begin;
            m_object.box_bytes.end = t.bytes.end;
            m_object.loc[m_locs++] = t.number.value_or(0);
            m_box_is_sound &= t.number.has_value();
        } else if (m_segs < m_codes.size()) {
            m_codes[m_segs++] = static_cast<std::uint8_t>(t.number.value_or(0));
            m_mask_is_sound &= t.number.has_value();
        }
    }

    void end_object() {
        const auto [y0, x0, y1, x1] = m_object.loc;
        if (m_locs < 4 || !m_box_is_sound || y1 <= y0 || x1 <= x0) {
            ++m_read.skipped;
            return;
        }
        if (m_segs == m_codes.size() && m_mask_is_sound) m_object.seg = m_codes;
        if (m_object.label_bytes.empty()) m_object.label_bytes = {m_object.bytes.end, m_object.bytes.end};
        append_utf8(m_object.label, m_object.label_bytes.of(m_answer));
        m_object.bytes.end = m_object.label_bytes.end;
        m_read.objects.push_back(std::move(m_object));
    }

    /// Keeps text between objects, unless it is only a separator.
    void say(text_range part) {
        part = trimmed(m_answer, part);
        if (part.of(m_answer).find_first_not_of("; \t\n\v\f\r") == std::string_view::npos) return;
        if (!m_read.text.empty()) m_read.text += ' ';
        append_utf8(m_read.text, part.of(m_answer));
    }

    std::string_view m_answer;
    spoken_objects m_read;
    spoken_object m_object; // being parsed
    std::array<std::uint8_t, 16> m_codes{};
    std::size_t m_locs = 0, m_segs = 0; // tags parsed so far, at most 4 and 16
    bool m_box_is_sound = true, m_mask_is_sound = true;
};

/**
 * Parses the answers of `detect`, `segment` and fine-tuned models (PaliGemma prompt guide; big_vision transfers/refcoco_seg.py):
 *
 *     answer = object { " ; " object }
 *     object = loc loc loc loc [ 16 seg ] [ " " label ]
 *     loc    = "<loc" 4 digits ">"
 *     seg    = "<seg" 3 digits ">"
 *
 * Never throws because of a malformed answer. In detail:
 * - Objects need no separator. Blanks may stand between tags. A label extends to the next ';', tag or end and is trimmed.
 * - A fifth loc in a row starts the next box, which leaves the previous one without a label. A seg after the sixteenth is ignored, as in
 *   big_vision.
 * - A box is skipped if it is incomplete, has a malformed tag (`<loc9999>`, `<loc12>`, a truncated `<loc01`), no area or swapped corners:
 *   big_vision's evaluator treats these as invalid too. Skipped boxes lose their label and are counted, as are mask codes without a box.
 * - An object with missing or malformed mask codes has no mask.
 * - Duplicate boxes stay separate objects; see merge().
 * - Bytes that are not valid UTF-8 become U+FFFD in label and text; control characters are kept. Ranges refer to the bytes of `answer`.
 *
 * Linear time and memory.
 */
[[nodiscard]] inline spoken_objects read_objects(std::string_view answer) { return object_reader(answer).read(); }

}}} // namespace pali::PALI_ABI::objects
