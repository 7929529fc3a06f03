// Constrained decoding for detect and segment: forces well-formed answers that name only the requested labels.
#pragma once

#include <pali/core/error.hpp>
#include <pali/text/tokenizer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Splits the argument of a detect or segment prompt: "cat ; black dog" -> {"cat", "black dog"}. Empty labels are dropped.
[[nodiscard]] inline std::vector<std::string> asked_labels(std::string_view things) {
    std::vector<std::string> labels;
    for (std::size_t begin = 0; begin <= things.size();) {
        const std::size_t end = std::min(things.find(';', begin), things.size());
        const std::string_view one = things.substr(begin, end - begin);
        const std::size_t first = one.find_first_not_of(" \t\r\n"), last = one.find_last_not_of(" \t\r\n");
        if (first != std::string_view::npos) labels.emplace_back(one.substr(first, last - first + 1));
        begin = end + 1;
    }
    return labels;
}

/// Masks the logits so that the next token continues this grammar:
///
///     answer = (empty) | object { " ; " object }
///     object = y0 x0 y1 x1 [16 mask codes] " " label        y0 < y1, x0 < x1, label one of those given
///
/// Use it as generate_options::constrain. Calls do not modify the object, so one object can serve many answers and threads.
class object_constraint {
public:
    /// Throws errc::invalid_argument if there is no label. Throws errc::missing_token if the vocabulary lacks a <loc....> token or, if
    /// `masks` is set, a <seg...> token.
    object_constraint(const tokenizer& text, std::span<const std::string> labels, bool masks) : m_masks(masks), m_eos(text.eos()) {
        if (labels.empty()) throw error(errc::invalid_argument, "constrained decoding needs at least one label");
        for (std::size_t i = 0; i < m_loc.size(); ++i) m_loc[i] = need(text.loc(i), "<loc0000> to <loc1023>");
        for (std::size_t i = 0; masks && i < m_seg.size(); ++i) m_seg[i] = need(text.seg(i), "<seg000> to <seg127>");
        m_words.emplace_back();
        // The separator is tokenized together with the label, because the model sees the text between coordinates tokenized as a whole.
        for (const std::string& label : labels) {
            m_words[path(text.encode(" " + label))].ends = true;
            m_words[path(text.encode(" " + label + " ; "))].goes_on = true;
        }
    }

    /// Sets the logits of all tokens that cannot follow `said` to minus infinity. Takes linear time in the sizes of both arguments; does
    /// not allocate. If `said` violates the grammar, only the end-of-sequence token is allowed.
    void operator()(std::span<const token> said, std::span<float> scores) const noexcept {
        std::array<token, coordinates + 1> allowed;
        const std::size_t count = follow(said, allowed);
        std::array<float, coordinates + 1> kept;
        constexpr float impossible = -std::numeric_limits<float>::infinity();
        const auto score_of = [&](token id) -> float* {
            return static_cast<std::size_t>(id) < scores.size() ? &scores[static_cast<std::size_t>(id)] : nullptr;
        };
        for (std::size_t i = 0; i < count; ++i) kept[i] = score_of(allowed[i]) ? *score_of(allowed[i]) : impossible;
        std::fill(scores.begin(), scores.end(), impossible);
        for (std::size_t i = 0; i < count; ++i)
            if (float* const score = score_of(allowed[i])) *score = kept[i];
    }

private:
    static constexpr std::size_t coordinates = 1024, codes = 128, codes_of_mask = 16;

    /// A trie node over the tokens of the labels.
    struct word {
        std::map<token, std::size_t> next;
        bool ends = false;    ///< the tokens so far are a label: the answer may end here
        bool goes_on = false; ///< the tokens so far are a label and a separator: the next object starts here
    };

    [[nodiscard]] static token need(std::optional<token> id, const char* pieces) {
        if (!id) throw error(errc::missing_token, {"the vocabulary lacks some of ", pieces, ", so this model cannot detect or segment"});
        return *id;
    }

    /// The node at the end of this token path; creates missing nodes.
    [[nodiscard]] std::size_t path(std::span<const token> ids) {
        std::size_t at = 0;
        for (const token id : ids) {
            const auto [place, added] = m_words[at].next.try_emplace(id, m_words.size());
            const std::size_t next = place->second; // m_words may reallocate
            if (added) m_words.emplace_back();
            at = next;
        }
        return at;
    }

    /// Fills `allowed` with the tokens that may follow and returns their number.
    [[nodiscard]] std::size_t follow(std::span<const token> said, std::span<token> allowed) const noexcept {
        std::array<std::size_t, 4> corner{}; // y0 x0 y1 x1
        std::size_t place = 0, at = 0;       // tokens of the current object so far; trie node within its label
        const std::size_t before_label = corner.size() + (m_masks ? codes_of_mask : 0);
        std::size_t count = 0;
        const auto end = [&] { allowed[count++] = m_eos; };
        for (const token id : said) {
            if (place < corner.size()) {
                const auto found = std::find(m_loc.begin(), m_loc.end(), id);
                if (found == m_loc.end()) return end(), count;
                corner[place] = static_cast<std::size_t>(found - m_loc.begin());
            } else if (place >= before_label) {
                const auto next = m_words[at].next.find(id);
                if (next == m_words[at].next.end()) return end(), count;
                at = next->second;
                if (m_words[at].goes_on) {
                    place = at = 0;
                    continue;
                }
            }
            ++place;
        }
        if (place < corner.size()) {
            if (said.empty()) end();
            const std::size_t least = place < 2 ? 0 : corner[place - 2] + 1, most = place < 2 ? coordinates - 1 : coordinates;
            for (std::size_t i = least; i < most; ++i) allowed[count++] = m_loc[i];
        } else if (place < before_label) {
            for (const token id : m_seg) allowed[count++] = id;
        } else {
            if (m_words[at].ends) end();
            for (const auto& [id, next] : m_words[at].next)
                if (count < allowed.size()) allowed[count++] = id;
        }
        return count;
    }

    bool m_masks;
    token m_eos;
    std::array<token, coordinates> m_loc{};
    std::array<token, codes> m_seg{};
    std::vector<word> m_words;
};

}}} // namespace pali::PALI_ABI::objects
