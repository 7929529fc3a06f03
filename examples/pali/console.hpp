// What the subcommands share of the world outside: the terminal, Ctrl-C, processes, memory, and where the embedded model lies.
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

/// Whether a person reads or types there.
[[nodiscard]] bool is_terminal(std::FILE* stream);

/// Writes `question` and returns what the terminal answers, up to where `is_whole` holds; what has come by then when it does not answer in
/// time.
[[nodiscard]] std::string ask_terminal(std::string_view question, bool (*is_whole)(std::string_view));

/// Characters that fit on the terminal, and the pixels of one.
[[nodiscard]] pali::terminal_size terminal_room();

/// From here on the first Ctrl-C asks for a stop (see `interrupted`) and the second ends the program.
void watch_for_interrupt();

/// True once Ctrl-C was pressed, until `forget_interrupt`.
[[nodiscard]] bool interrupted() noexcept;
/// A callback of progress or text that goes on until Ctrl-C.
inline constexpr auto until_interrupted = [](const auto&...) { return !interrupted(); };
void forget_interrupt();

/// Waits until standard input has something to read, or has ended. False where Ctrl-C was pressed, before or meanwhile, or a signal came
/// that is held.
[[nodiscard]] bool wait_for_input();

/// While it lives, the terminal is in a state that other programs must not find. Signals that end the process (SIGHUP, SIGQUIT, SIGTERM) or
/// stop it (SIGTSTP, Ctrl-Z) are held until the terminal has been restored, unless they are ignored. One at a time. Without such signals,
/// as on Windows, it does nothing.
class held_signals {
public:
    held_signals();
    ~held_signals(); ///< ends or stops the process by what is held
    held_signals(const held_signals&) = delete;
    held_signals& operator=(const held_signals&) = delete;

    /// Whether one is held.
    [[nodiscard]] static bool is_any() noexcept;
    /// Ends or stops the process by the signals that are held. The terminal has to be restored. Returns when the process goes on.
    static void deliver();
    /// Whether the process was stopped, by any signal, and goes on, since this was last asked.
    [[nodiscard]] static bool has_continued() noexcept;
};

/// Opens descriptors 0 to 2 that are closed, so that no file of ours gets their numbers, in ways that make reading and writing them fail.
void open_missing_streams();

/// The machine's name, and this process's number on it.
[[nodiscard]] std::string host_name();
[[nodiscard]] long process_id();

/// What tells this process from every other that the machine has run or will run, in words on one line; empty where the system has no such
/// thing.
[[nodiscard]] std::string process_mark();
/// Whether the process with this mark ran on this machine and has ended. False where that cannot be known, for one of another machine for
/// instance.
[[nodiscard]] bool has_ended(const std::string& mark);

/// Decimal units: "6.1 GB".
[[nodiscard]] std::string in_units(double bytes);

/// A line on standard error that is no error: "pali: note: ...".
void print_note(std::string_view note);

/// A bar on standard error when it is a terminal, else nothing; it erases itself. Its callback stops the work on Ctrl-C.
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

/// How far the work on many images is, and how long it will go on: "12 of 200 images, 1 min 05 s left", on standard error when it is a
/// terminal.
class work_bar {
public:
    /// `count` images; nothing where that is not known.
    explicit work_bar(std::optional<std::size_t> count) : m_count(count), m_terminal(is_terminal(stderr)) {}
    ~work_bar() { erase(); }
    work_bar(const work_bar&) = delete;
    work_bar& operator=(const work_bar&) = delete;

    void done(std::size_t images) noexcept { m_done += images; }
    void passed_over() noexcept { ++m_passed_over; } ///< took no time
    void draw();
    void erase();

private:
    std::optional<std::size_t> m_count;
    std::size_t m_done = 0, m_passed_over = 0;
    std::chrono::steady_clock::time_point m_begun = std::chrono::steady_clock::now();
    bool m_terminal, m_shown = false;
};

/// Most memory that this process has had in RAM so far, in bytes, mapped files included; 0 where the system does not say.
[[nodiscard]] std::uint64_t peak_rss_bytes();

/// Folder of the embedded model: $PALI_MODELS/shapes, installed beside this program, or in the source tree.
[[nodiscard]] std::filesystem::path embedded_model();

/// Its sample image.
[[nodiscard]] std::filesystem::path sample_image();
