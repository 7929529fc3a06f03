// The terminal, Ctrl-C, memory, and where the embedded model lies.
#include "console.hpp"

#include <pali/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

// The only source of the program that names an operating system. What Windows has is written by its documentation and untested.
#if defined(__unix__) || defined(__APPLE__)
#  include <poll.h>
#  include <sys/ioctl.h>
#  include <termios.h>
#  include <unistd.h>
#elif defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  ifndef WIN32_LEAN_AND_MEAN
#    define WIN32_LEAN_AND_MEAN
#  endif
#  include <io.h>
#  include <windows.h>
#endif

namespace {

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" void on_interrupt(int) { stop_asked.store(true); }

} // namespace

std::string in_units(double bytes) {
    const char* const units[] = {"bytes", "kB", "MB", "GB"};
    std::size_t unit = 0;
    for (; bytes >= 1000 && unit < 3; ++unit) bytes /= 1000;
    char text[32];
    std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

bool is_terminal(std::FILE* stream) {
#if defined(__unix__) || defined(__APPLE__)
    return isatty(fileno(stream)) != 0;
#elif defined(_WIN32)
    return _isatty(_fileno(stream)) != 0;
#else
    return static_cast<void>(stream), false;
#endif
}

std::string ask_terminal([[maybe_unused]] std::string_view question, [[maybe_unused]] bool (*is_whole)(std::string_view)) {
    std::string reply;
#if defined(__unix__) || defined(__APPLE__)
    termios before{};
    if (!is_terminal(stdin) || tcgetattr(STDIN_FILENO, &before) != 0) return reply;
    termios raw = before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return reply;
    std::cout << question << std::flush;
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    constexpr int patience_ms = 200; // a terminal behind a slow line answers within this; one that does not know the question never
    while (!is_whole(reply) && poll(&input, 1, patience_ms) > 0) {
        char bytes[256];
        const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
        if (count <= 0) break;
        reply.append(bytes, static_cast<std::size_t>(count));
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
#endif
    return reply;
}

pali::terminal_size terminal_room() {
    pali::terminal_size size;
#if defined(__unix__) || defined(__APPLE__)
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return size;
    size.columns = std::clamp<std::size_t>(window.ws_col, 1, 1000);
    size.rows = std::clamp<std::size_t>(window.ws_row > 2 ? window.ws_row - 2u : 1u, 1, 1000); // the prompt stays in sight
    if (window.ws_xpixel > 0 && window.ws_ypixel > 0) {
        size.cell_width = std::clamp<std::size_t>(window.ws_xpixel / window.ws_col, 1, 100);
        size.cell_height = std::clamp<std::size_t>(window.ws_ypixel / window.ws_row, 1, 100);
    }
#elif defined(_WIN32)
    CONSOLE_SCREEN_BUFFER_INFO window{};
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &window)) return size;
    size.columns = static_cast<std::size_t>(std::clamp(window.srWindow.Right - window.srWindow.Left + 1, 1, 1000));
    size.rows = static_cast<std::size_t>(std::clamp(window.srWindow.Bottom - window.srWindow.Top - 1, 1, 1000));
#endif
    return size;
}

void watch_for_interrupt() {
#if defined(__unix__) || defined(__APPLE__)
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    action.sa_flags = static_cast<int>(SA_RESETHAND); // the second one ends the program; a read of the keyboard is broken off
    sigaction(SIGINT, &action, nullptr);
#else
    std::signal(SIGINT, on_interrupt);
#endif
}

bool interrupted() noexcept { return stop_asked.load(); }

void forget_interrupt() {
    stop_asked.store(false);
    watch_for_interrupt();
}

pali::progress_callback progress_bar::callback() {
    return [this](std::string_view stage, double fraction) { return draw(stage, fraction); };
}

bool progress_bar::draw(std::string_view stage, double fraction) {
    constexpr int width = 40;
    const int tenths = static_cast<int>(fraction * 1000);
    if (m_terminal && tenths != m_tenths) {
        m_tenths = tenths;
        std::string bar(width, ' ');
        bar.replace(0, static_cast<std::size_t>(tenths * width / 1000), static_cast<std::size_t>(tenths * width / 1000), '=');
        std::fprintf(stderr, "\r%-8.*s [%s] %3d %%", static_cast<int>(stage.size()), stage.data(), bar.c_str(), tenths / 10);
        m_shown = true;
        if (tenths >= 1000) erase();
        std::fflush(stderr);
    }
    return !interrupted();
}

void progress_bar::erase() {
    if (!m_shown) return;
    std::fprintf(stderr, "\r%60s\r", "");
    std::fflush(stderr);
    m_shown = false;
}

void work_bar::draw() {
    if (!m_terminal) return;
    erase();
    const std::size_t gone = m_done + m_passed_over;
    std::string text = std::to_string(gone) + (m_count ? " of " + std::to_string(*m_count) : "") + " pictures";
    if (m_count && m_done > 0) {
        const double each = std::chrono::duration<double>(std::chrono::steady_clock::now() - m_begun).count() / static_cast<double>(m_done);
        const auto left = static_cast<long>(each * static_cast<double>(*m_count - std::min(gone, *m_count)) + 0.5);
        text += left >= 3600 ? ", " + std::to_string(left / 3600) + " h " + std::to_string(left % 3600 / 60) + " min left"
                             : ", " + std::to_string(left / 60) + " min " + std::to_string(left % 60) + " s left";
    }
    std::fprintf(stderr, "%s\r", text.c_str());
    std::fflush(stderr);
    m_shown = true;
}

void work_bar::erase() {
    if (!m_shown) return;
    std::fprintf(stderr, "%60s\r", "");
    std::fflush(stderr);
    m_shown = false;
}

std::uint64_t peak_rss_bytes() {
    // Not getrusage: its maximum includes what the process was before exec.
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
    return 0;
}

std::filesystem::path embedded_model() {
    namespace fs = std::filesystem;
    if (const char* folder = std::getenv("PALI_MODELS"); folder != nullptr && *folder != '\0') return fs::path(folder) / "shapes";
    std::error_code ignored;
    if (const fs::path program = fs::read_symlink("/proc/self/exe", ignored); !program.empty())
        if (auto folder = program.parent_path() / PALI_MODELS_FROM_PROGRAM / "shapes"; fs::exists(folder, ignored)) return folder.lexically_normal();
    if (fs::path folder = fs::path(PALI_MODELS_DIR) / "shapes"; fs::exists(folder, ignored)) return folder;
    throw pali::error(pali::errc::cannot_open, "the embedded model was not found: set PALI_MODELS to the folder that holds `shapes`, or name a model by --model");
}

std::filesystem::path sample_picture() { return embedded_model() / "pictures" / "cross_and_ring.png"; }
