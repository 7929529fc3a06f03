// The text of an error, given as parts that are joined only if the error is thrown.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace core {

/// A string, a number formatted by std::to_string, or a list of parts: {file, ": has ", n, " tensors"}. Non-owning; valid only within the
/// full expression. It cannot be copied or moved, and only a temporary can be read, so storing one does not compile.
class error_text {
public:
    error_text(error_text&&) = delete;
    error_text& operator=(error_text&&) = delete;
    /// A null-terminated string; not copied.
    error_text(const char* text) noexcept : m_literal(text), m_kind(kind::literal) {}
    /// A string view; not copied.
    error_text(std::string_view text) noexcept : m_text(text), m_kind(kind::text) {}
    /// A string; not copied.
    error_text(const std::string& text) noexcept : m_text(text), m_kind(kind::text) {}
    /// Parts, in order.
    error_text(std::initializer_list<error_text> parts) noexcept : m_parts(parts), m_kind(kind::parts) {}
    /// An unsigned number.
    template <std::unsigned_integral T>
        requires(!std::same_as<T, bool> && !std::same_as<T, char>)
    error_text(T number) noexcept : m_natural(number), m_kind(kind::natural) {}
    /// A signed number.
    template <std::signed_integral T>
        requires(!std::same_as<T, char>)
    error_text(T number) noexcept : m_integer(number), m_kind(kind::integer) {}
    /// A floating-point number with six decimals.
    template <std::floating_point T>
    error_text(T number) noexcept : m_real(number), m_kind(kind::real) {}

    /// Joins the parts.
    [[nodiscard]] std::string str() && {
        std::string out;
        join(out);
        return out;
    }

    /// Appends the joined parts to `out`.
    void append_to(std::string& out) && { join(out); }

private:
    PALI_COLD void join(std::string& out) const {
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
            for (const error_text& part : m_parts) part.join(out);
        }
    }

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

}}} // namespace pali::PALI_ABI::core
