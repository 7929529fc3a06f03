// added_tokens.json: {"<image>": 257152}, texts that a checkpoint puts on top of its tokenizer.model. Included by bodies only.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/core/utf8.hpp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>

namespace pali::inline PALI_ABI::detail {

/// Texts and their ids.
using token_map = std::map<std::string, token, std::less<>>;

/// Takes one flat object of numbers and refuses anything else, without building a document.
class added_tokens_reader final : public json_events {
public:
    explicit added_tokens_reader(const std::string& file) : m_file(file) {}

    token_map tokens;

    bool key(string_t& name) override { return m_key = name, true; }
    bool number_unsigned(number_unsigned_t id) override {
        if (!m_inside || m_key.empty() || !is_utf8(m_key)) fail("has an entry without a name");
        if (id > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
            fail("gives " + in_quotes(m_key) + " the id " + std::to_string(id) + ", which is too large");
        if (!tokens.emplace(m_key, static_cast<token>(id)).second) fail("names " + in_quotes(m_key) + " twice");
        return true;
    }
    bool start_object(std::size_t) override {
        if (m_inside) other("an object");
        return m_inside = true;
    }
    bool end_object() override { return true; }
    bool number_integer(number_integer_t) override { other("a negative number"); }
    bool number_float(number_float_t, const string_t&) override { other("a number that is no integer"); }
    bool null() override { other("null"); }
    bool boolean(bool) override { other("a boolean"); }
    bool string(string_t&) override { other("a string"); }
    bool binary(binary_t&) override { other("binary data"); }
    bool start_array(std::size_t) override { other("an array"); }
    bool end_array() override { return true; }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        fail("is no valid JSON: see byte " + std::to_string(position));
    }

private:
    [[noreturn]] void fail(const std::string& what) const { throw error(errc::malformed_tokenizer, m_file + ": " + what); }
    [[noreturn]] void other(const std::string& found) const {
        fail((m_inside ? "has " + found + " at " + in_quotes(m_key) : "is " + found) + "; one object is needed, with an id for each text");
    }

    const std::string& m_file;
    std::string m_key;
    bool m_inside = false;
};

/// Reads the contents of added_tokens.json. Throws errc::malformed_tokenizer with `file` and what is wrong.
[[nodiscard]] PALI_INLINE token_map read_added_tokens(std::string_view contents, const std::string& file) {
    added_tokens_reader reader(file);
    parse_json(contents, reader);
    std::map<token, std::string_view> names;
    for (const auto& [text, id] : reader.tokens)
        if (const auto [same, first] = names.emplace(id, text); !first)
            throw error(errc::malformed_tokenizer,
                        file + ": gives " + in_quotes(same->second) + " and " + in_quotes(text) + " the same id " + std::to_string(id));
    return std::move(reader.tokens);
}

} // namespace pali::inline PALI_ABI::detail
