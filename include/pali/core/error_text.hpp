// The text of an error, told by its parts: none is joined to another before there is something to throw.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// A text, a number as std::to_string prints it, or parts that follow one another: {file, ": has ", n, " tensors"}. It owns nothing, so it
/// is an argument and never a variable: what it was made of ends with the expression it stands in.
class error_text {
public:
    /// A text that ends with a zero.
    error_text(const char* text) noexcept : m_literal(text), m_kind(kind::literal) {}
    /// A text, as all that follow: not copied.
    error_text(std::string_view text) noexcept : m_text(text), m_kind(kind::text) {}
    /// A text.
    error_text(const std::string& text) noexcept : m_text(text), m_kind(kind::text) {}
    /// Parts, one behind the other.
    error_text(std::initializer_list<error_text> parts) noexcept : m_parts(parts), m_kind(kind::parts) {}
    /// A number from 0.
    template <std::unsigned_integral T>
        requires(!std::same_as<T, bool> && !std::same_as<T, char>)
    error_text(T number) noexcept : m_natural(number), m_kind(kind::natural) {}
    /// A number.
    template <std::signed_integral T>
        requires(!std::same_as<T, char>)
    error_text(T number) noexcept : m_integer(number), m_kind(kind::integer) {}
    /// A number with six digits behind its point.
    template <std::floating_point T>
    error_text(T number) noexcept : m_real(number), m_kind(kind::real) {}

    /// The parts, joined.
    [[nodiscard]] std::string str() const {
        std::string out;
        append_to(out);
        return out;
    }

    /// The same, behind what `out` holds.
    PALI_COLD void append_to(std::string& out) const {
        switch (m_kind) {
        case kind::literal:
            out += m_literal;
            break;
        case kind::text:
            out += m_text;
            break;
        case kind::natural:
            out += std::to_string(m_natural);
            break;
        case kind::integer:
            out += std::to_string(m_integer);
            break;
        case kind::real:
            out += std::to_string(m_real);
            break;
        case kind::parts:
            for (const error_text& part : m_parts) part.append_to(out);
        }
    }

private:
    enum class kind { literal, text, natural, integer, real, parts };

    union {
        const char* m_literal;
        std::string_view m_text;
        std::uint64_t m_natural;
        std::int64_t m_integer;
        double m_real;
        std::initializer_list<error_text> m_parts;
    };
    kind m_kind;
};

}} // namespace pali::PALI_ABI
