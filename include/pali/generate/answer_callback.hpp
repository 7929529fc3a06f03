// Callbacks of answers, with or without the number of the answer that they are about.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

namespace pali { inline namespace PALI_ABI {

/// Holds a function of `Args`, or of std::size_t and `Args`, that returns whether to go on. The number is the place of the answer's image
/// or request in the call, from 0 on.
template <class... Args>
class answer_callback {
public:
    /// Calls nothing.
    answer_callback() = default;
    /// The same.
    answer_callback(std::nullptr_t) {}
    /// Calls `function`, which returns bool.
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, answer_callback>)
    answer_callback(F function) { // not explicit: options are set by assigning a lambda
        constexpr bool plain = std::is_invocable_r_v<bool, F&, Args...>, numbered = std::is_invocable_r_v<bool, F&, std::size_t, Args...>;
        static_assert(plain || numbered,
                      "a callback takes what is reported, or the number of the answer before it, and returns bool: false stops the call");
        if constexpr (numbered) m_function = std::move(function);
        else m_function = [function = std::move(function)](std::size_t, Args... args) mutable -> bool { return function(args...); };
    }

    /// Whether there is something to call.
    explicit operator bool() const noexcept { return static_cast<bool>(m_function); }
    /// Calls it.
    bool operator()(std::size_t answer, Args... args) const { return m_function(answer, args...); }

private:
    std::function<bool(std::size_t, Args...)> m_function;
};

}} // namespace pali::PALI_ABI
