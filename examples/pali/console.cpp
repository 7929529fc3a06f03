// Terminal, signals, processes, memory usage, and the location of the embedded model.
#include "console.hpp"

#include "environment.hpp"
#include "output.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/system.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

// The only source of the program with code for specific operating systems. The Windows code follows its documentation and is untested.
#if defined(__unix__) || defined(__APPLE__)
#  include <fcntl.h>
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
#  include <process.h>
#  include <windows.h>
#endif

namespace {

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

#if defined(__unix__) || defined(__APPLE__)
/// Self-pipe, to which the handlers write. So a wait returns even if the signal arrives between the check of the flags and the wait.
int wake[2] = {-1, -1};

void end_the_wait() {
    const int before = errno;
    if (wake[1] >= 0) static_cast<void>(!write(wake[1], "", 1));
    errno = before;
}

void empty_wake() {
    for (char bytes[16]; read(wake[0], bytes, sizeof bytes) > 0;) {}
}

struct held_signal {
    int number;
    std::atomic<bool> has_come{false};
    struct sigaction before{};
};
held_signal held[] = {{.number = SIGHUP},  {.number = SIGQUIT}, {.number = SIGTERM}, {.number = SIGUSR1}, {.number = SIGUSR2},
                      {.number = SIGALRM}, {.number = SIGTSTP}, {.number = SIGCONT}}; // SIGCONT is only noted; it takes effect anyway
held_signal& gone_on = held[std::size(held) - 1];

extern "C" void on_held(int number) {
    for (held_signal& one : held)
        if (one.number == number) one.has_come.store(true);
    end_the_wait();
}

void hold(held_signal& one) {
    struct sigaction action{};
    action.sa_handler = on_held;
    action.sa_flags = SA_RESTART;
    if (sigaction(one.number, nullptr, &one.before) == 0 && one.before.sa_handler != SIG_IGN) sigaction(one.number, &action, nullptr);
}
#else
void end_the_wait() {}
#endif

extern "C" void on_interrupt(int) {
    stop_asked.store(true);
    end_the_wait();
}

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
    const held_signals until_restored;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return reply;
    write_raw(question);
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    constexpr int patience_ms = 200; // enough for a terminal on a slow line; one that does not know the query never replies
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
    size.rows = std::clamp<std::size_t>(window.ws_row > 2 ? window.ws_row - 2u : 1u, 1, 1000); // leaves room for the prompt
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
    if (wake[0] < 0 && pipe(wake) == 0)
        for (const int end : wake) {
            fcntl(end, F_SETFD, FD_CLOEXEC);
            fcntl(end, F_SETFL, O_NONBLOCK);
        }
    struct sigaction action{};
    action.sa_handler = on_interrupt;
    action.sa_flags = static_cast<int>(SA_RESETHAND); // a second Ctrl-C ends the program; no SA_RESTART: interrupts a keyboard read
    sigaction(SIGINT, &action, nullptr);
#else
    std::signal(SIGINT, on_interrupt);
#endif
}

bool interrupted() noexcept { return stop_asked.load(); }

void forget_interrupt() {
#if defined(__unix__) || defined(__APPLE__)
    empty_wake();
#endif
    stop_asked.store(false);
    watch_for_interrupt();
}

bool wait_for_input() {
    if (interrupted()) return false;
#if defined(__unix__) || defined(__APPLE__)
    if (std::cin.rdbuf()->in_avail() > 0) return true;
    pollfd ends[2] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}, {.fd = wake[0], .events = POLLIN, .revents = 0}};
    while (poll(ends, 2, -1) < 0 && errno == EINTR && !interrupted()) {}
    empty_wake(); // before the flags are checked: handlers set the flag before they write
    if (held_signals::is_any() || gone_on.has_come) return false;
#endif
    return !interrupted();
}

held_signals::held_signals() {
#if defined(__unix__) || defined(__APPLE__)
    for (held_signal& one : held) hold(one);
#endif
}

held_signals::~held_signals() {
    deliver();
#if defined(__unix__) || defined(__APPLE__)
    for (const held_signal& one : held) sigaction(one.number, &one.before, nullptr);
    deliver(); // delivers signals that arrived in between
    gone_on.has_come.store(false);
#endif
}

bool held_signals::is_any() noexcept {
#if defined(__unix__) || defined(__APPLE__)
    return std::any_of(std::begin(held), std::end(held), [](const held_signal& one) { return &one != &gone_on && one.has_come; });
#else
    return false;
#endif
}

void held_signals::deliver() {
#if defined(__unix__) || defined(__APPLE__)
    for (held_signal& one : held) {
        if (&one == &gone_on || !one.has_come.exchange(false)) continue;
        struct sigaction ours{};
        sigaction(one.number, &one.before, &ours);
        raise(one.number);
        sigaction(one.number, &ours, nullptr);
    }
#endif
}

bool held_signals::has_continued() noexcept {
#if defined(__unix__) || defined(__APPLE__)
    return gone_on.has_come.exchange(false);
#else
    return false;
#endif
}

void open_missing_streams() {
#if defined(__unix__) || defined(__APPLE__)
    for (int stream = 0; stream <= 2; ++stream) // open() returns the lowest free descriptor, which is `stream`
        if (fcntl(stream, F_GETFD) == -1 && open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY) == -1) return;
#endif
}

std::string host_name() {
#if defined(__unix__) || defined(__APPLE__)
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 && *name != '\0' ? name : "host";
#else
    return environment("COMPUTERNAME").value_or("host");
#endif
}

namespace {

/// Boot id and PID namespace, in which process ids are unique; empty on systems other than Linux.
std::string where_processes_count() {
    std::error_code failed;
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string boot;
    const std::string space = std::filesystem::read_symlink("/proc/self/ns/pid", failed).string();
    return std::getline(file, boot) && !failed ? boot + ' ' + space : std::string();
}

/// Start time in ticks since boot; empty if there is no such process, or it is a zombie.
std::string start_of(const std::string& process) {
    std::ifstream file("/proc/" + process + "/stat");
    std::string line, word, state, start;
    std::getline(file, line);
    const auto name_end = line.rfind(')'); // the command name before it may contain anything
    if (name_end == std::string::npos) return start;
    std::istringstream words(line.substr(name_end + 1));
    words >> state;
    for (int field = 4; field <= 22 && words >> word; ++field) start = word; // proc(5): starttime is field 22
    return state == "Z" || state == "X" ? std::string() : start;
}

} // namespace

std::string process_mark() {
    const std::string where = where_processes_count(), number = std::to_string(pali::core::process_id());
    return where.empty() ? std::string() : where + ' ' + number + ' ' + start_of(number);
}

bool has_ended(const std::string& mark) {
    const std::string here = where_processes_count();
    if (here.empty() || !mark.starts_with(here + ' ')) return false;
    std::istringstream words(mark.substr(here.size()));
    std::string number, start;
    words >> number >> start;
    return start_of(number) != start;
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

void print_note(std::string_view note) {
    if (is_terminal(stderr)) std::fprintf(stderr, "\r%60s\r", ""); // clears a progress bar
    std::fprintf(stderr, "pali: note: %.*s\n", static_cast<int>(note.size()), note.data());
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
    std::string text = std::to_string(gone) + (m_count ? " of " + std::to_string(*m_count) : "") + " images";
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
    // Does not use getrusage(), whose maximum includes the process before exec.
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
    return 0;
}

std::filesystem::path embedded_model() {
    namespace fs = std::filesystem;
    std::error_code ignored;
    if (const auto models = environment("PALI_MODELS")) {
        if (fs::path folder = fs::path(*models) / "shapes"; fs::is_directory(folder, ignored)) return folder;
        throw pali::error(pali::errc::invalid_argument, {"the environment variable PALI_MODELS is ", pali::core::in_quotes(*models),
                                                         "; it must be a folder with a subfolder `shapes`"});
    }
    if (const fs::path program = fs::read_symlink("/proc/self/exe", ignored); !program.empty())
        if (auto folder = program.parent_path() / PALI_MODELS_FROM_PROGRAM / "shapes"; fs::exists(folder, ignored))
            return folder.lexically_normal();
    if (fs::path folder = fs::path(PALI_MODELS_DIR) / "shapes"; fs::exists(folder, ignored)) return folder;
    throw pali::error(
        pali::errc::cannot_open,
        "the embedded model was not found: set PALI_MODELS to the folder that contains `shapes`, or pass a model with --model");
}

std::filesystem::path sample_image() { return embedded_model() / "images" / "cross_and_ring.png"; }
