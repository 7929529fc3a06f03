// Environment of the program: terminal, Ctrl-C, processes, memory usage, and the location of the embedded model.
#pragma once

#include <pali/core/progress.hpp>
#include <pali/image/terminal.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

/// Exit codes.
inline constexpr int exit_bad_file = 1, exit_wrong_use = 2, exit_interrupted = 130;

/// Whether the stream is connected to a terminal.
[[nodiscard]] bool is_terminal(std::FILE* stream);

/// Writes `question` to the terminal and reads its reply until `is_whole` returns true. On a timeout, returns what has arrived.
[[nodiscard]] std::string ask_terminal(std::string_view question, bool (*is_whole)(std::string_view));

/// Size of the terminal in characters, and of one character in pixels.
[[nodiscard]] pali::terminal_size terminal_room();

/// Installs the handler: the first Ctrl-C requests a stop (see `interrupted`), the second ends the program.
void watch_for_interrupt();

/// Whether Ctrl-C was pressed since the last `forget_interrupt`.
[[nodiscard]] bool interrupted() noexcept;
/// Progress or text callback that continues until Ctrl-C.
inline constexpr auto until_interrupted = [](const auto&...) { return !interrupted(); };
void forget_interrupt();

/// Waits until standard input is readable or at its end. Returns false if Ctrl-C was pressed before or during the wait, or if a held signal
/// arrived.
[[nodiscard]] bool wait_for_input();

/// RAII guard for code that changes the terminal state. Holds back signals that end the process (SIGHUP, SIGQUIT, SIGTERM) or stop it
/// (SIGTSTP, Ctrl-Z) until the terminal is restored, unless they are ignored. One instance at a time. Does nothing on systems without these
/// signals, such as Windows.
class held_signals {
public:
    held_signals();
    ~held_signals(); ///< delivers held signals
    held_signals(const held_signals&) = delete;
    held_signals& operator=(const held_signals&) = delete;

    /// Whether a signal is held.
    [[nodiscard]] static bool is_any() noexcept;
    /// Delivers the held signals, which ends or stops the process. The caller must have restored the terminal. Returns when the process
    /// continues.
    static void deliver();
    /// Whether the process was stopped and continued, by any signal, since the last call.
    [[nodiscard]] static bool has_continued() noexcept;
};

/// Opens those of the descriptors 0 to 2 that are closed, so that no other file gets their numbers. Reads and writes on them fail.
void open_missing_streams();

/// Host name; pali::process_id() is the id on this host.
[[nodiscard]] std::string host_name();

/// A line of text that identifies this process among all processes of the machine, past and future; empty if the system offers no such
/// identity.
[[nodiscard]] std::string process_mark();
/// Whether the process with this mark ran on this machine and has ended. False if unknown, for example for another machine.
[[nodiscard]] bool has_ended(const std::string& mark);

/// Formats a size in decimal units: "6.1 GB".
[[nodiscard]] std::string in_units(double bytes);

/// Prints "pali: note: ..." to standard error.
void print_note(std::string_view note);

/// Progress bar on standard error, which erases itself. It is shown only if standard error is a terminal. Its callback cancels the work on
/// Ctrl-C.
class progress_bar {
public:
    progress_bar() : m_terminal(is_terminal(stderr)) {}
    ~progress_bar() { erase(); }
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;

    [[nodiscard]] pali::progress_callback callback();
    void erase();

private:
    bool draw(std::string_view stage, double fraction);

    bool m_shown = false, m_terminal;
    int m_tenths = -1;
};

/// Progress and remaining time of a job on many images, "12 of 200 images, 1 min 05 s left", on standard error, only if that is a terminal.
class work_bar {
public:
    /// `count`: number of images, if known.
    explicit work_bar(std::optional<std::size_t> count) : m_count(count), m_terminal(is_terminal(stderr)) {}
    ~work_bar() { erase(); }
    work_bar(const work_bar&) = delete;
    work_bar& operator=(const work_bar&) = delete;

    void done(std::size_t images) noexcept { m_done += images; }
    void passed_over() noexcept { ++m_passed_over; } ///< counts an image that took no time
    void draw();
    void erase();

private:
    std::optional<std::size_t> m_count;
    std::size_t m_done = 0, m_passed_over = 0;
    std::chrono::steady_clock::time_point m_begun = std::chrono::steady_clock::now();
    bool m_terminal, m_shown = false;
};

/// Peak resident set size in bytes, mapped files included; 0 if the system does not report it.
[[nodiscard]] std::uint64_t peak_rss_bytes();

/// Folder of the embedded model: $PALI_MODELS/shapes, next to the installed program, or in the source tree.
[[nodiscard]] std::filesystem::path embedded_model();

/// Sample image of the embedded model.
[[nodiscard]] std::filesystem::path sample_image();
