// Detects which graphics protocol a terminal supports, from its environment or from its reply to a query.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace pali { inline namespace PALI_ABI {

/// Protocol for showing an image in a terminal.
enum class terminal_graphics {
    half_blocks_256, ///< two pixels per character, in the 256 xterm colors
    half_blocks,     ///< two pixels per character, in 24-bit color
    sixel,           ///< pixels in up to 256 colors (DEC, 1983): xterm, foot, WezTerm, mlterm, Konsole, iTerm2, Windows Terminal, ...
    kitty,           ///< unmodified pixels, sw.kovidgoyal.net/kitty/graphics-protocol: kitty, Ghostty, Konsole, WezTerm, ...
};

/// Values of environment variables; empty if not set. The program reads them: the library never accesses the environment.
struct terminal_environment {
    std::string_view term;            ///< TERM
    std::string_view term_program;    ///< TERM_PROGRAM
    std::string_view colorterm;       ///< COLORTERM
    std::string_view kitty_window_id; ///< KITTY_WINDOW_ID
    std::string_view konsole_version; ///< KONSOLE_VERSION, for example 220401
    std::string_view wt_session;      ///< WT_SESSION, set by Windows Terminal
    std::string_view tmux;            ///< TMUX
};

namespace image_detail {

[[nodiscard]] inline bool holds(std::string_view text, std::string_view part) noexcept { return text.find(part) != text.npos; }

} // namespace image_detail

/// The best protocol that this environment is known to support; std::nullopt if the terminal may not support colors at all (TERM is empty
/// or "dumb"). A terminal may support more than its environment reveals: send `graphics_query` to find out.
[[nodiscard]] inline std::optional<terminal_graphics> guess_graphics(const terminal_environment& of) noexcept {
    using image_detail::holds;
    const std::string_view term = of.term, program = of.term_program;
    if (term == "dumb" || (term.empty() && of.wt_session.empty())) return {};
    const bool many_colours = of.colorterm == "truecolor" || of.colorterm == "24bit" || term.ends_with("-direct") || !of.wt_session.empty();
    const auto blocks = many_colours ? terminal_graphics::half_blocks : terminal_graphics::half_blocks_256;
    if (!of.tmux.empty() || term.starts_with("screen") || term.starts_with("tmux")) return blocks; // a multiplexer does not pass images on
    if (!of.kitty_window_id.empty() || image_detail::holds(term, "kitty") || image_detail::holds(term, "ghostty") || program == "ghostty")
        return terminal_graphics::kitty;
    if (of.konsole_version.size() >= 6 && of.konsole_version >= "220400") return terminal_graphics::kitty; // since 22.04
    if (term.starts_with("foot") || term.starts_with("mlterm") || term.starts_with("contour") || image_detail::holds(term, "sixel"))
        return terminal_graphics::sixel;
    if (program == "iTerm.app" || program == "WezTerm" || program == "mintty") return terminal_graphics::sixel;
    if (term.starts_with("alacritty")) return terminal_graphics::half_blocks;
    return blocks;
}

/// Query for a terminal in raw mode. It asks for kitty graphics support, then for the primary device attributes (DA1), which every terminal
/// reports.
inline constexpr std::string_view graphics_query = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";

namespace image_detail {

/// The parameters of the last DA1 reply: "62;4;22" for "\x1b[?62;4;22c"; std::nullopt if there is no complete reply.
[[nodiscard]] inline std::optional<std::string_view> terminal_attributes(std::string_view reply) noexcept {
    for (std::size_t at = reply.rfind("\x1b[?"); at != reply.npos; at = at == 0 ? reply.npos : reply.rfind("\x1b[?", at - 1)) {
        const std::string_view rest = reply.substr(at + 3);
        const std::size_t end = rest.find_first_not_of("0123456789;");
        if (end != rest.npos && rest[end] == 'c') return rest.substr(0, end);
    }
    return {};
}

} // namespace image_detail

/// Whether the reply to `graphics_query` is complete, so that the caller can stop reading. Some terminals never reply: read with a timeout.
[[nodiscard]] inline bool is_reply_whole(std::string_view reply) noexcept { return image_detail::terminal_attributes(reply).has_value(); }

/// Parses the reply to `graphics_query`; accepts any bytes. Returns kitty, sixel, or std::nullopt if the reply names neither.
[[nodiscard]] inline std::optional<terminal_graphics> read_reply(std::string_view reply) noexcept {
    constexpr std::string_view known = "\x1b_Gi=31;OK";
    for (std::size_t at = reply.find(known); at != reply.npos; at = reply.find(known, at + 1))
        if (const std::string_view rest = reply.substr(at + known.size()); rest.starts_with("\x1b\\") || rest.starts_with('\x9c'))
            return terminal_graphics::kitty;
    const auto attributes = image_detail::terminal_attributes(reply);
    for (std::string_view left = attributes.value_or(""); !left.empty();) { // attribute 4: sixel
        const std::size_t end = left.find(';');
        if (left.substr(0, end) == "4") return terminal_graphics::sixel;
        left = end == left.npos ? std::string_view() : left.substr(end + 1);
    }
    return {};
}

}} // namespace pali::PALI_ABI
