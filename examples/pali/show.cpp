#include "show.hpp"

#include "console.hpp"
#include "environment.hpp"
#include "output.hpp"

#include <pali/image/resize.hpp>
#include <pali/image/terminal.hpp>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

namespace {

/// The best protocol of this terminal, determined once.
std::optional<pali::terminal_graphics> way() {
    static const std::optional<pali::terminal_graphics> found = [] {
        const auto variable = [](const char* name) { return environment(name).value_or(""); };
        const std::string term = variable("TERM"), term_program = variable("TERM_PROGRAM"), colorterm = variable("COLORTERM"),
                          kitty = variable("KITTY_WINDOW_ID"), konsole = variable("KONSOLE_VERSION"), wt_session = variable("WT_SESSION"),
                          tmux = variable("TMUX");
        const auto guessed = pali::guess_graphics({.term = term,
                                                   .term_program = term_program,
                                                   .colorterm = colorterm,
                                                   .kitty_window_id = kitty,
                                                   .konsole_version = konsole,
                                                   .wt_session = wt_session,
                                                   .tmux = tmux});
        if (!guessed || guessed == pali::terminal_graphics::kitty || guessed == pali::terminal_graphics::sixel || !tmux.empty())
            return guessed;
        const auto answered = pali::read_reply(ask_terminal(pali::graphics_query, pali::is_reply_whole));
        return answered ? answered : guessed;
    }();
    return found;
}

} // namespace

bool can_show() { return is_terminal(stdout) && way().has_value(); }

void show(const pali::image& image, image_room room) {
    pali::terminal_size size = terminal_room();
    if (room == image_room::half) size.rows = std::max<std::size_t>(1, size.rows / 2);
    constexpr std::size_t least = 336; // minimum side in pixels: labels at the embedded model's 112 pixels would be unreadable
    const std::size_t side = std::max<std::size_t>(1, std::min(image.width, image.height)),
                      times = side < least ? (least + side - 1) / side : 1;
    const bool enlarge = times > 1 && *way() != pali::terminal_graphics::half_blocks && *way() != pali::terminal_graphics::half_blocks_256;
    write_raw(
        pali::to_terminal(enlarge ? pali::image_detail::resize(image, image.width * times, image.height * times) : image, *way(), size));
}
