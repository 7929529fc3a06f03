#include "line_editor.hpp"

#include "console.hpp"
#include "environment.hpp"
#include "output.hpp"

#include <climits>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#if PALI_WITH_LIBEDIT
#  include <histedit.h>
#endif

#if PALI_WITH_LIBEDIT
namespace {

namespace fs = std::filesystem;

/// $XDG_STATE_HOME/pali/history, or its default location; empty without a home directory.
fs::path history_file() {
    const fs::path state = environment("XDG_STATE_HOME").value_or(""), home = environment("HOME").value_or("");
    if (state.is_absolute()) return state / "pali" / "history"; // the XDG specification says to ignore relative paths
    return home.is_absolute() ? home / ".local" / "state" / "pali" / "history" : fs::path();
}

/// Delivers held signals with the original terminal state; redraws the line when the process continues.
void take_signals(EditLine* editor) {
    if (held_signals::is_any()) {
        el_set(editor, EL_PREP_TERM, 0);
        held_signals::deliver();
        el_set(editor, EL_PREP_TERM, 1);
    }
    if (!held_signals::has_continued()) return;
    el_set(editor, EL_PREP_TERM, 0); // the shell has changed the terminal, but libedit considers it prepared
    el_set(editor, EL_PREP_TERM, 1);
    write_raw("\r");
    el_set(editor, EL_REFRESH);
}

/// Reads one character of unbuffered standard input: 1, 0 at the end, -1 after Ctrl-C.
int read_character(EditLine* editor, wchar_t* into) {
    char bytes[MB_LEN_MAX] = {};
    for (std::size_t count = 1; count <= sizeof bytes; ++count) {
        while (!wait_for_input()) {
            if (interrupted()) return -1;
            take_signals(editor);
        }
        const int byte = std::getc(stdin);
        if (byte == EOF) return 0;
        bytes[count - 1] = static_cast<char>(byte);
        std::mbstate_t state{};
        const std::size_t used = std::mbrtowc(into, bytes, count, &state);
        if (used != static_cast<std::size_t>(-2)) return used == static_cast<std::size_t>(-1) ? (*into = L'?', 1) : 1; // -2: incomplete
    }
    return 0;
}

} // namespace

struct line_editor::parts {
    EditLine* editor = nullptr;
    History* history = nullptr;
    HistEvent event{};
    std::string prompt;
    fs::path file = history_file();

    explicit parts(const std::string& text) : editor(el_init("pali", stdin, stdout, stderr)), history(history_init()), prompt(text) {
        if (!usable()) return;
        if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1)
            std::setlocale(LC_CTYPE, "C.UTF-8"); // only LC_CTYPE, so that the format of numbers does not change
        std::setvbuf(stdin, nullptr, _IONBF, 0);
        ::history(history, &event, H_SETSIZE, 1000);
        ::history(history, &event, H_SETUNIQUE, 1);
        if (!file.empty()) ::history(history, &event, H_LOAD, file.string().c_str());
        el_set(editor, EL_CLIENTDATA, this);
        el_set(
            editor, EL_PROMPT, +[](EditLine* from) -> char* {
                void* self = nullptr;
                el_get(from, EL_CLIENTDATA, &self);
                return static_cast<parts*>(self)->prompt.data();
            });
        el_set(editor, EL_EDITOR, "emacs");
        el_set(editor, EL_SIGNAL, 0); // the program handles signals, because libedit would forward them to the whole process group
        el_set(editor, EL_HIST, ::history, history);
        el_set(editor, EL_GETCFN, read_character);
    }
    ~parts() {
        if (editor != nullptr) el_end(editor);
        if (history != nullptr) history_end(history);
    }
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;

    [[nodiscard]] bool usable() const noexcept { return editor != nullptr && history != nullptr; }

    void remember(const std::string& line) {
        if (line.find_first_not_of(" \t") == std::string::npos) return;
        ::history(history, &event, H_ENTER, line.c_str());
        std::error_code ignored;
        if (file.empty()) return;
        fs::create_directories(file.parent_path(), ignored);
        ::history(history, &event, H_SAVE, file.string().c_str());
    }
};
#else
struct line_editor::parts {};
#endif

line_editor::line_editor(std::string prompt) : m_prompt(std::move(prompt)) {
#if PALI_WITH_LIBEDIT
    if (!is_terminal(stdin) || !is_terminal(stdout)) return;
    m_parts = std::make_unique<parts>(m_prompt);
    if (!m_parts->usable()) m_parts.reset();
#endif
}

line_editor::~line_editor() = default;

std::optional<std::string> line_editor::read() {
    std::cout << std::flush;
#if PALI_WITH_LIBEDIT
    if (m_parts) {
        int length = 0;
        const held_signals until_restored;
        const char* const text = el_gets(m_parts->editor, &length); // also restores the terminal
        if (text == nullptr || length <= 0 || interrupted()) return std::nullopt;
        std::string line(text, static_cast<std::size_t>(length));
        while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
        m_parts->remember(line);
        return line;
    }
#endif
    std::cout << m_prompt << std::flush;
    std::string line;
    if (!wait_for_input() || !std::getline(std::cin, line)) return std::nullopt;
    return line;
}
