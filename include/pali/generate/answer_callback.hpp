// Callbacks of answers, with or without the index of the answer.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

namespace pali { inline namespace PALI_ABI { namespace decoding {

/// Holds a function that takes `Args`, optionally preceded by a std::size_t, and returns whether to continue. The std::size_t is the index
/// of the answer's image or request in the call, from 0.
template <class... Args>
class answer_callback {
public:
    /// An empty callback.
    answer_callback() = default;
    /// An empty callback.
    answer_callback(std::nullptr_t) {}
    /// Wraps `function`, which returns bool.
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, answer_callback>)
    answer_callback(F function) { // implicit, so that a lambda can be assigned to an option
        constexpr bool plain = std::is_invocable_r_v<bool, F&, Args...>, numbered = std::is_invocable_r_v<bool, F&, std::size_t, Args...>;
        static_assert(
            plain || numbered,
            "a callback takes the reported value, optionally preceded by the answer's index, and returns bool: false stops the call");
        if constexpr (numbered) m_function = std::move(function);
        else m_function = [function = std::move(function)](std::size_t, Args... args) mutable -> bool { return function(args...); };
    }

    /// Whether the callback is not empty.
    explicit operator bool() const noexcept { return static_cast<bool>(m_function); }
    /// Calls the function.
    bool operator()(std::size_t answer, Args... args) const { return m_function(answer, args...); }

private:
    std::function<bool(std::size_t, Args...)> m_function;
};

}}} // namespace pali::PALI_ABI::decoding
