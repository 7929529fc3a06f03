// Vocabulary table, filled from tokenizer.model or tokenizer.json. Implementation header.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// Piece types, numbered as in sentencepiece_model.proto.
enum class piece_type : std::uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// One entry of the vocabulary.
struct model_piece {
    std::string_view text;
    float score = 0; // sentencepiece's score; 0 for a tokenizer.json, which has no scores
    piece_type type = piece_type::normal;
};

/// Pieces indexed by id, and a hash table from text to id. The texts are views into memory of the owner. The names of BOS, EOS and padding
/// default to those of sentencepiece.
struct vocabulary {
    std::vector<model_piece> pieces;
    std::string_view unk_surface = " \xE2\x81\x87 ", bos = "<s>", eos = "</s>", pad = "<pad>";
    /// Hash table slot. Open addressing, load factor at most 1/2. A slot also stores the first bytes of the text, so most lookups access no
    /// other memory.
    struct place {
        std::uint32_t number = 0;    // id + 1; 0: free
        std::uint32_t tag = 0;       // 24 bits of the hash, and the length up to 255
        std::uint64_t beginning = 0; // the first 8 bytes
        [[nodiscard]] bool operator==(const place& other) const noexcept { return tag == other.tag && beginning == other.beginning; }
    };
    std::vector<place> places;

    /// The id of the piece with this text.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view text) const noexcept {
        const std::uint32_t number = slot_of(text).found->number;
        return number == 0 ? std::nullopt : std::optional<std::size_t>(number - 1);
    }
    /// Adds a piece to the hash table; false if its text is already there.
    bool insert(std::size_t id) {
        const slot free = slot_of(pieces[id].text);
        if (free.found->number != 0) return false;
        place& at = places[static_cast<std::size_t>(free.found - places.data())];
        at = free.wanted;
        at.number = static_cast<std::uint32_t>(id + 1);
        return true;
    }
    /// Replaces a piece by one whose text is not in the table.
    void rename(std::size_t id, const model_piece& piece) {
        pieces[id] = piece;
        for (place& at : places)
            if (at.number == id + 1) at.tag = 0, at.beginning = ~std::uint64_t{0}; // matches no text: pieces are UTF-8
        insert(id);
    }

private:
    struct slot {
        const place* found; // the slot of the text, or a free slot
        place wanted;
    };
    [[nodiscard]] slot slot_of(std::string_view text) const noexcept {
        const std::uint64_t hash = std::hash<std::string_view>()(text);
        place wanted{.tag = static_cast<std::uint32_t>(hash >> 40 << 8 | std::min<std::size_t>(text.size(), 255))};
        if (!text.empty()) std::memcpy(&wanted.beginning, text.data(), std::min<std::size_t>(text.size(), 8));
        std::size_t at = static_cast<std::size_t>(hash) & (places.size() - 1);
        while (places[at].number != 0 && !(places[at] == wanted && (text.size() <= 8 || pieces[places[at].number - 1].text == text)))
            at = (at + 1) & (places.size() - 1);
        return {&places[at], wanted};
    }
};

/// The value of a byte piece, "<0x00>" to "<0xFF>"; -1 for any other text.
[[nodiscard]] inline int byte_of_piece(std::string_view piece) noexcept {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    const int high = digit(piece[3]), low = digit(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// Checks that pieces are non-empty, short, valid UTF-8 without zero bytes, and distinct. Fills `places`. Throws errc::malformed_tokenizer
/// with `file`.
PALI_INLINE void check_pieces(vocabulary& words, const std::string& file) {
    constexpr std::size_t longest = 1024; // Gemma's longest piece has 93 bytes
    const auto fail = [&](std::size_t i, error_text&& what) {
        throw error(errc::malformed_tokenizer, {file, ": piece ", i, " ", std::move(what).str()});
    };
    words.places.assign(std::bit_ceil(words.pieces.size() * 2 + 2), {}); // + 2, because rename() may insert one more piece
    for (std::size_t i = 0; i < words.pieces.size(); ++i) {
        const std::string_view text = words.pieces[i].text;
        if (text.empty()) fail(i, "is empty");
        if (text.size() > longest) fail(i, {"has ", text.size(), " bytes; at most ", longest, " are supported"});
        if (!is_utf8(text)) fail(i, "is not valid UTF-8");
        if (text.find('\0') != std::string_view::npos) fail(i, "contains a zero byte");
        if (!words.insert(i)) fail(i, {"is the same as piece ", *words.find(text)});
    }
}

}}} // namespace pali::PALI_ABI::text
