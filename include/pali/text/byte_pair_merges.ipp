// Byte-pair encoding (BPE) as in transformers: the pair with the lowest rank is merged first. Implementation header.
#pragma once

#include <pali/core/utf8.hpp>
#include <pali/text/token.hpp>
#include <pali/text/vocabulary.ipp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// A BPE merge: ids of the two pieces and of the result.
struct piece_merge {
    std::uint32_t left = 0, right = 0, result = 0;
};

/// Merges of a tokenizer.json: an open-addressing hash table from a pair of ids to the rank and the merge. 16 bytes per entry, load factor
/// at most 2/3.
class merge_table {
public:
    merge_table() = default;
    /// The rank is the position in the list. Of equal pairs, the last one wins, as in transformers.
    explicit merge_table(const std::vector<piece_merge>& merges) : m_entries(std::bit_ceil(merges.size() + merges.size() / 2 + 1)) {
        for (std::size_t rank = 0; rank < merges.size(); ++rank) {
            entry& e = m_entries[place_of(merges[rank].left, merges[rank].right)];
            e = {merges[rank], static_cast<std::uint32_t>(rank + 1)};
        }
    }

    struct entry {
        piece_merge merge;
        std::uint32_t rank = 0; // 0: free
    };
    /// The entry of a pair; its rank is 0 if the pair cannot be merged.
    [[nodiscard]] const entry& find(std::uint32_t left, std::uint32_t right) const noexcept { return m_entries[place_of(left, right)]; }

private:
    [[nodiscard]] std::size_t place_of(std::uint32_t left, std::uint32_t right) const noexcept {
        const std::uint64_t key = (std::uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15u; // 2^64 / golden ratio: Fibonacci hashing
        const std::size_t mask = m_entries.size() - 1;
        std::size_t at = static_cast<std::size_t>(key >> 32) & mask;
        while (m_entries[at].rank != 0 && (m_entries[at].merge.left != left || m_entries[at].merge.right != right)) at = (at + 1) & mask;
        return at;
    }

    std::vector<entry> m_entries = std::vector<entry>(1);
};

/// Merges the characters of a text into pieces. O(n log n): a heap of candidate pairs over a linked list of symbols.
///
/// Without a merge table, a pair can be merged if its concatenation is a piece. Pairs are ranked by the id of that piece, then by the
/// length of the left part. transformers derives the same ranks from a tokenizer.model. Control pieces are never formed. Keeps references
/// to its arguments.
class piece_merger {
public:
    piece_merger(const vocabulary& words, const merge_table* merges, token unknown)
        : m_words(words), m_merges(merges), m_unknown(static_cast<std::uint32_t>(unknown)) {
        for (std::size_t value = 0; value < m_bytes.size(); ++value) {
            constexpr std::string_view digits = "0123456789ABCDEF";
            const char text[] = {'<', '0', 'x', digits[value >> 4], digits[value & 15], '>'};
            const auto found = words.find({text, sizeof text});
            m_bytes[value] = found ? static_cast<std::uint32_t>(*found) : none;
        }
    }

    /// Appends the ids of `text`: valid UTF-8, U+2581 for spaces, shorter than 2^31 bytes.
    void encode(std::string_view text, std::vector<token>& out) const {
        std::vector<symbol> symbols = characters_of(text);
        const auto candidates = [](const candidate& a, const candidate& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
        std::priority_queue<candidate, std::vector<candidate>, decltype(candidates)> heap(candidates);
        std::string joined;
        const auto push = [&](std::uint32_t at) {
            if (const auto found = find(symbols[at].id, symbols[symbols[at].next].id, joined)) heap.push({found->rank, at, found->id});
        };
        for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) push(i);
        while (!heap.empty()) {
            const candidate best = heap.top();
            heap.pop();
            symbol& left = symbols[best.at];
            if (left.id == none || left.next == none) continue; // stale: the symbol has been merged, or is now the last one
            symbol& right = symbols[left.next];
            if (const auto now = find(left.id, right.id, joined); !now || now->id != best.id) continue; // stale: the pair has changed
            left.id = best.id;
            left.next = right.next;
            right.id = none;
            if (left.next != none) {
                symbols[left.next].previous = best.at;
                push(best.at);
            }
            if (left.previous != none) push(left.previous);
        }
        for (const symbol& s : symbols)
            if (s.id != none) out.push_back(static_cast<token>(s.id));
    }

private:
    static constexpr std::uint32_t none = 0xffffffff;
    struct symbol {
        std::uint32_t id = none, previous = none, next = none;
    };
    struct candidate {
        std::uint64_t rank = 0;
        std::uint32_t at = 0, id = 0; // position of the left symbol; id of the result
    };
    struct ranked {
        std::uint64_t rank = 0;
        std::uint32_t id = 0;
    };

    /// One symbol per character. A character without a piece becomes byte pieces. Where there are no byte pieces, a run of such characters
    /// becomes one unknown piece.
    [[nodiscard]] std::vector<symbol> characters_of(std::string_view text) const {
        std::vector<symbol> symbols;
        symbols.reserve(text.size());
        const auto add = [&](std::uint32_t id) {
            const auto at = static_cast<std::uint32_t>(symbols.size());
            if (at > 0) symbols.back().next = at;
            symbols.push_back({id, at > 0 ? at - 1 : none, none});
        };
        bool unknown = false; // a pending run of unknown characters; as in transformers, its piece follows byte pieces within the run
        for (std::size_t at = 0; at < text.size();) {
            const std::string_view character = text.substr(at, std::max<std::size_t>(first_character(text.substr(at)).length, 1));
            at += character.size();
            if (const auto found = m_words.find(character)) {
                if (unknown) add(m_unknown);
                unknown = false;
                add(static_cast<std::uint32_t>(*found));
            } else if (std::all_of(character.begin(), character.end(),
                                   [&](char c) { return m_bytes[static_cast<unsigned char>(c)] != none; })) {
                for (const char c : character) add(m_bytes[static_cast<unsigned char>(c)]);
            } else {
                unknown = true;
            }
        }
        if (unknown) add(m_unknown);
        return symbols;
    }

    [[nodiscard]] std::optional<ranked> find(std::uint32_t left, std::uint32_t right, std::string& joined) const {
        std::optional<ranked> found;
        if (m_merges != nullptr) {
            if (const merge_table::entry& e = m_merges->find(left, right); e.rank != 0) found = {e.rank, e.merge.result};
        } else {
            const std::string_view begin = m_words.pieces[left].text;
            joined.assign(begin).append(m_words.pieces[right].text);
            if (const auto id = m_words.find(joined)) {
                const auto characters =
                    std::count_if(begin.begin(), begin.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
                found = {std::uint64_t{*id} << 32 | static_cast<std::uint64_t>(characters), static_cast<std::uint32_t>(*id)};
            }
        }
        if (!found) return found;
        const piece_type type = m_words.pieces[found->id].type;
        return type == piece_type::control || type == piece_type::unknown ? std::nullopt : found;
    }

    const vocabulary& m_words;
    const merge_table* m_merges;
    std::uint32_t m_unknown;
    std::vector<std::uint32_t> m_bytes = std::vector<std::uint32_t>(256); // ids of the byte pieces
};

}}} // namespace pali::PALI_ABI::text
