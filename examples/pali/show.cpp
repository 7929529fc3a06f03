#include "show.hpp"

#include "console.hpp"

#include <pali/image/resize.hpp>
#include <pali/image/terminal.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#  include <poll.h>
#  include <sys/ioctl.h>
#  include <termios.h>
#  include <unistd.h>
#endif

namespace {

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

#if defined(__unix__) || defined(__APPLE__)
/// What the terminal answers to graphics_query; empty when it does not.
std::string ask_terminal() {
    termios before{};
    if (!is_terminal(stdin) || tcgetattr(STDIN_FILENO, &before) != 0) return {};
    termios raw = before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return {};
    std::cout << pali::graphics_query << std::flush;
    std::string reply;
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    constexpr int patience_ms = 200; // a terminal behind a slow line answers within this; one that does not know the question never
    while (!pali::is_reply_whole(reply) && poll(&input, 1, patience_ms) > 0) {
        char bytes[256];
        const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
        if (count <= 0) break;
        reply.append(bytes, static_cast<std::size_t>(count));
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return reply;
}

pali::terminal_size room() {
    pali::terminal_size size;
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return size;
    size.columns = std::clamp<std::size_t>(window.ws_col, 1, 1000);
    size.rows = std::clamp<std::size_t>(window.ws_row > 2 ? window.ws_row - 2u : 1u, 1, 1000); // the prompt stays in sight
    if (window.ws_xpixel > 0 && window.ws_ypixel > 0) {
        size.cell_width = std::clamp<std::size_t>(window.ws_xpixel / window.ws_col, 1, 100);
        size.cell_height = std::clamp<std::size_t>(window.ws_ypixel / window.ws_row, 1, 100);
    }
    return size;
}
#else
std::string ask_terminal() { return {}; }
pali::terminal_size room() { return {}; }
#endif

/// The best way of this terminal, found out once.
std::optional<pali::terminal_graphics> way() {
    static const std::optional<pali::terminal_graphics> found = [] {
        const auto guessed = pali::guess_graphics({.term = variable("TERM"), .term_program = variable("TERM_PROGRAM"), .colorterm = variable("COLORTERM"),
                                                   .kitty_window_id = variable("KITTY_WINDOW_ID"), .konsole_version = variable("KONSOLE_VERSION"),
                                                   .wt_session = variable("WT_SESSION"), .tmux = variable("TMUX")});
        if (!guessed || guessed == pali::terminal_graphics::kitty || guessed == pali::terminal_graphics::sixel || !variable("TMUX").empty()) return guessed;
        const auto answered = pali::read_reply(ask_terminal());
        return answered ? answered : guessed;
    }();
    return found;
}

} // namespace

bool can_show() { return is_terminal(stdout) && way().has_value(); }

void show(const pali::image& picture) {
    constexpr std::size_t least = 336; // pixels of a side: labels on the 112 pixels of the embedded model would not be read
    const std::size_t side = std::max<std::size_t>(1, std::min(picture.width, picture.height)), times = side < least ? (least + side - 1) / side : 1;
    const bool enlarge = times > 1 && *way() != pali::terminal_graphics::half_blocks && *way() != pali::terminal_graphics::half_blocks_256;
    std::cout << pali::to_terminal(enlarge ? pali::resize(picture, picture.width * times, picture.height * times) : picture, *way(), room()) << std::flush;
}
