// Which images a terminal can show: guessed from its environment, or read from what it answers.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// How an image is written to a terminal.
enum class terminal_graphics {
    half_blocks_256, ///< two pixels a character, in the 256 colours of xterm
    half_blocks,     ///< two pixels a character, in 24-bit colour
    sixel,           ///< pixels in up to 256 colours (DEC, 1983): xterm, foot, WezTerm, mlterm, Konsole, iTerm2, Windows Terminal, ...
    kitty,           ///< pixels as they are, sw.kovidgoyal.net/kitty/graphics-protocol: kitty, Ghostty, Konsole, WezTerm, ...
};

/// Environment variables of those names; empty where one is not set. The program asks for them: the library reads no environment.
struct terminal_environment {
    std::string_view term;            ///< TERM
    std::string_view term_program;    ///< TERM_PROGRAM
    std::string_view colorterm;       ///< COLORTERM
    std::string_view kitty_window_id; ///< KITTY_WINDOW_ID
    std::string_view konsole_version; ///< KONSOLE_VERSION, as 220401
    std::string_view wt_session;      ///< WT_SESSION, of Windows Terminal
    std::string_view tmux;            ///< TMUX
};

namespace image_detail {

[[nodiscard]] inline bool holds(std::string_view text, std::string_view part) noexcept { return text.find(part) != text.npos; }

} // namespace image_detail

/// The most that a terminal of this environment shows for certain; none where colours may not be shown at all (TERM is empty or "dumb").
/// A terminal may be able to do more than its environment says: ask it by `graphics_query`.
[[nodiscard]] inline std::optional<terminal_graphics> guess_graphics(const terminal_environment& of) noexcept {
    using image_detail::holds;
    const std::string_view term = of.term, program = of.term_program;
    if (term == "dumb" || (term.empty() && of.wt_session.empty())) return {};
    const bool many_colours = of.colorterm == "truecolor" || of.colorterm == "24bit" || term.ends_with("-direct") || !of.wt_session.empty();
    const auto blocks = many_colours ? terminal_graphics::half_blocks : terminal_graphics::half_blocks_256;
    if (!of.tmux.empty() || term.starts_with("screen") || term.starts_with("tmux")) return blocks; // what is behind it shows no images
    if (!of.kitty_window_id.empty() || holds(term, "kitty") || holds(term, "ghostty") || program == "ghostty")
        return terminal_graphics::kitty;
    if (of.konsole_version.size() >= 6 && of.konsole_version >= "220400") return terminal_graphics::kitty; // since 22.04
    if (term.starts_with("foot") || term.starts_with("mlterm") || term.starts_with("contour") || holds(term, "sixel"))
        return terminal_graphics::sixel;
    if (program == "iTerm.app" || program == "WezTerm" || program == "mintty") return terminal_graphics::sixel;
    if (term.starts_with("alacritty")) return terminal_graphics::half_blocks;
    return blocks;
}

/// To be written to a terminal in raw mode: asks whether it knows kitty's protocol, and then for its attributes (DA1), which all terminals
/// answer.
inline constexpr std::string_view graphics_query = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";

namespace image_detail {

/// The parameters of the last DA1 reply, "62;4;22" of "\x1b[?62;4;22c"; none where there is no whole one.
[[nodiscard]] inline std::optional<std::string_view> terminal_attributes(std::string_view reply) noexcept {
    for (std::size_t at = reply.rfind("\x1b[?"); at != reply.npos; at = at == 0 ? reply.npos : reply.rfind("\x1b[?", at - 1)) {
        const std::string_view rest = reply.substr(at + 3);
        const std::size_t end = rest.find_first_not_of("0123456789;");
        if (end != rest.npos && rest[end] == 'c') return rest.substr(0, end);
    }
    return {};
}

} // namespace image_detail

/// Whether all of the answer to `graphics_query` is there: nothing more is to be waited for. Some terminals do not answer; wait with a
/// limit.
[[nodiscard]] inline bool is_reply_whole(std::string_view reply) noexcept { return image_detail::terminal_attributes(reply).has_value(); }

/// What the answer to `graphics_query` says, from any bytes: kitty, sixel, or none where it names neither.
[[nodiscard]] inline std::optional<terminal_graphics> read_reply(std::string_view reply) noexcept {
    constexpr std::string_view known = "\x1b_Gi=31;OK";
    for (std::size_t at = reply.find(known); at != reply.npos; at = reply.find(known, at + 1))
        if (const std::string_view rest = reply.substr(at + known.size()); rest.starts_with("\x1b\\") || rest.starts_with('\x9c'))
            return terminal_graphics::kitty;
    const auto attributes = image_detail::terminal_attributes(reply);
    for (std::string_view left = attributes.value_or(""); !left.empty();) { // 4 among them: sixel
        const std::size_t end = left.find(';');
        if (left.substr(0, end) == "4") return terminal_graphics::sixel;
        left = end == left.npos ? std::string_view() : left.substr(end + 1);
    }
    return {};
}

}} // namespace pali::PALI_ABI
