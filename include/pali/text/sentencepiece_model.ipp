// Parser for tokenizer.model (protobuf). Validates the file before sentencepiece reads it, because sentencepiece trusts its input and logs
// to standard error. Implementation header.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/utf8.hpp>
#include <pali/text/vocabulary.ipp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace text {

/// The fields of a ModelProto that matter for a Gemma-style vocabulary; views into the parsed bytes. Defaults as in
/// sentencepiece_model.proto.
struct sentencepiece_model : vocabulary {
    std::uint64_t model_type = 1;
    bool byte_fallback = false, whitespace_as_suffix = false;
    bool charsmap = false, dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true, denormalizer = false;
};

/// Iterates over the fields of a protobuf message.
class protobuf_reader {
public:
    protobuf_reader(std::string_view bytes, const std::string& file) : m_rest(bytes), m_file(file) {}

    std::uint64_t number = 0;  ///< field number
    std::uint64_t value = 0;   ///< value of a varint or fixed-size field
    std::string_view contents; ///< contents of a length-delimited field

    /// Advances to the next field; false at the end. Throws errc::malformed_tokenizer.
    bool next() {
        if (m_rest.empty()) return false;
        const std::uint64_t tag = varint();
        number = tag >> 3;
        m_wire = tag & 7;
        if (number == 0 || number >= (std::uint64_t{1} << 29)) fail({"a field has the number ", number});
        value = 0;
        contents = {};
        switch (m_wire) {
        case 0:
            value = varint();
            break;
        case 1:
            value = fixed(8);
            break;
        case 2: {
            const std::uint64_t length = varint();
            if (length > m_rest.size()) fail({"a field of ", length, " bytes begins ", m_rest.size(), " bytes before the end"});
            contents = m_rest.substr(0, static_cast<std::size_t>(length));
            m_rest.remove_prefix(static_cast<std::size_t>(length));
            break;
        }
        case 5:
            value = fixed(4);
            break;
        default:
            fail({"a field has the wire type ", m_wire});
        }
        return true;
    }

    std::uint64_t as_number() const { return expect(0), value; }
    bool as_bool() const { return expect(0), value != 0; }
    float as_float() const { return expect(5), std::bit_cast<float>(static_cast<std::uint32_t>(value)); }
    std::string_view as_bytes() const { return expect(2), contents; }

    [[noreturn]] void fail(error_text&& what) const {
        throw error(errc::malformed_tokenizer, {m_file, ": is not a sentencepiece model: ", std::move(what).str(),
                                                "; is the file complete, and not a Git LFS pointer?"});
    }

private:
    void expect(std::uint64_t wire) const {
        if (m_wire != wire) fail({"field ", number, " has the wire type ", m_wire, "; ", wire, " is needed"});
    }

    std::uint64_t varint() {
        std::uint64_t out = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (m_rest.empty()) fail("it ends inside a number");
            const auto byte = static_cast<unsigned char>(m_rest.front());
            m_rest.remove_prefix(1);
            out |= static_cast<std::uint64_t>(byte & 0x7fu) << shift;
            if (byte < 0x80) return out;
        }
        fail("a number has more than 10 bytes");
    }

    std::uint64_t fixed(std::size_t bytes) {
        if (m_rest.size() < bytes) fail("it ends inside a number");
        std::uint64_t out = 0;
        for (std::size_t i = bytes; i-- > 0;) out = out << 8 | static_cast<unsigned char>(m_rest[i]);
        m_rest.remove_prefix(bytes);
        return out;
    }

    std::string_view m_rest;
    const std::string& m_file;
    std::uint64_t m_wire = 0;
};

/// Checks what sentencepiece relies on: calls check_pieces(), and requires that byte pieces are complete or absent.
PALI_INLINE void check_model_pieces(sentencepiece_model& model, const std::string& file) {
    const auto fail = [&](error_text&& what) { throw error(errc::malformed_tokenizer, {file, ": ", std::move(what).str()}); };
    if (model.pieces.empty()) fail("has no pieces; is it a sentencepiece model?");
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
        const model_piece& p = model.pieces[i];
        if (!std::isfinite(p.score)) fail({"piece ", i, " has a score that is not finite"});
        if (p.type < piece_type::normal || p.type > piece_type::byte)
            fail({"piece ", i, " is of kind ", static_cast<std::uint64_t>(p.type), "; 1 to 6 are valid"});
        if (p.type == piece_type::byte && byte_of_piece(p.text) < 0) fail({"piece ", i, " is a byte piece, but not of the form <0x41>"});
    }
    check_pieces(model, file);
    const auto count = [&](piece_type type) {
        return std::count_if(model.pieces.begin(), model.pieces.end(), [&](const model_piece& p) { return p.type == type; });
    };
    if (const auto unknown = count(piece_type::unknown); unknown != 1) fail({"has ", unknown, " unknown pieces; exactly one is needed"});
    if (const auto bytes = count(piece_type::byte); bytes != (model.byte_fallback ? 256 : 0))
        fail({"has ", bytes, " byte pieces; ", model.byte_fallback ? "256 are needed" : "byte_fallback is off, so there must be none"});
}

/// Accepts only what transformers' GemmaTokenizer implements: byte-pair merges over unmodified text.
PALI_INLINE void check_kind(const sentencepiece_model& model, const std::string& file) {
    const auto refuse = [&](error_text&& what) {
        throw error(errc::unsupported_format,
                    {file, ": ", std::move(what).str(), "; only Gemma-style vocabularies are supported: BPE over unmodified text"});
    };
    if (model.model_type != 2) refuse({"model_type is ", model.model_type, "; 2 (BPE) is needed"});
    if (model.charsmap || model.denormalizer) refuse("it rewrites characters (precompiled_charsmap)");
    if (model.dummy_prefix) refuse("it prepends a space to the text (add_dummy_prefix)");
    if (model.remove_extra_whitespaces) refuse("it removes spaces (remove_extra_whitespaces)");
    if (!model.escape_whitespaces) refuse("it does not write spaces as U+2581 (escape_whitespaces is off)");
    if (model.whitespace_as_suffix) refuse("it appends spaces to words (treat_whitespace_as_suffix)");
}

/// Parses and checks a complete file. The result refers to `bytes`. Throws errc::malformed_tokenizer or errc::unsupported_format, with
/// `file`.
[[nodiscard]] PALI_INLINE sentencepiece_model read_sentencepiece_model(std::string_view bytes, const std::string& file) {
    sentencepiece_model model;
    model.pieces.reserve(bytes.size() / 16); // approximate bytes per piece in Gemma's file
    for (protobuf_reader top(bytes, file); top.next();) {
        if (top.number == 1) {
            model_piece piece;
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 1) piece.text = field.as_bytes();
                if (field.number == 2) piece.score = field.as_float();
                if (field.number == 3) piece.type = static_cast<piece_type>(field.as_number());
            }
            if (piece.text.empty())
                throw error(errc::malformed_tokenizer,
                            {file, ": piece ", model.pieces.size(),
                             " is empty"}); // checked immediately, because an empty piece takes only two bytes of the file
            model.pieces.push_back(piece);
        } else if (top.number == 2) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 3) model.model_type = field.as_number();
                if (field.number == 24) model.whitespace_as_suffix = field.as_bool();
                if (field.number == 35) model.byte_fallback = field.as_bool();
                if (field.number == 44) model.unk_surface = field.as_bytes();
                if (field.number == 46) model.bos = field.as_bytes();
                if (field.number == 47) model.eos = field.as_bytes();
                if (field.number == 48) model.pad = field.as_bytes();
            }
        } else if (top.number == 3) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 2) model.charsmap = !field.as_bytes().empty();
                if (field.number == 3) model.dummy_prefix = field.as_bool();
                if (field.number == 4) model.remove_extra_whitespaces = field.as_bool();
                if (field.number == 5) model.escape_whitespaces = field.as_bool();
            }
        } else if (top.number == 5) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();)
                if (field.number == 2) model.denormalizer = !field.as_bytes().empty();
        }
    }
    check_model_pieces(model, file);
    check_kind(model, file);
    if (!is_utf8(model.unk_surface)) throw error(errc::malformed_tokenizer, {file, ": unk_surface is not valid UTF-8"});
    return model;
}

/// Serializes the model with the validated fields only. Drops the self-test data, which sentencepiece would log.
[[nodiscard]] PALI_INLINE std::string write_sentencepiece_model(const sentencepiece_model& model) {
    const auto varint = [](std::string& out, std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
        out += static_cast<char>(value);
    };
    const auto number = [&](std::string& out, unsigned field, std::uint64_t value) { varint(out, field << 3), varint(out, value); };
    const auto bytes = [&](std::string& out, unsigned field, std::string_view value) {
        varint(out, field << 3 | 2), varint(out, value.size()), out += value;
    };

    std::string out, message;
    for (const model_piece& p : model.pieces) {
        message.clear();
        bytes(message, 1, p.text);
        message += static_cast<char>(2 << 3 | 5);
        for (unsigned shift = 0; shift < 32; shift += 8)
            message += static_cast<char>(std::bit_cast<std::uint32_t>(p.score) >> shift & 0xff);
        number(message, 3, static_cast<std::uint64_t>(p.type));
        bytes(out, 1, message);
    }
    message.clear();
    number(message, 3, model.model_type);
    number(message, 35, model.byte_fallback);
    bytes(message, 44, model.unk_surface);
    bytes(out, 2, message);
    message.clear();
    bytes(message, 1, "identity");
    number(message, 3, 0);
    number(message, 4, 0);
    number(message, 5, 1);
    bytes(out, 3, message);
    return out;
}

}}} // namespace pali::PALI_ABI::text
