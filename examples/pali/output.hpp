// Output streams of the subcommands. They make std::cout and std::cerr report write errors and replace control characters on a terminal.
#pragma once

#include <array>
#include <cstdio>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>

/// Thrown if standard output cannot be written.
struct output_failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// RAII replacement of the buffers of std::cout and std::cerr. On a terminal, control characters become U+FFFD, because names and answers
/// may contain any. A failed write to standard output throws output_failure from the expression that wrote.
class standard_streams {
public:
    standard_streams();
    ~standard_streams();
    standard_streams(const standard_streams&) = delete;
    standard_streams& operator=(const standard_streams&) = delete;

    /// Flushes both streams. Throws output_failure.
    void flush();

private:
    class buffer final : public std::streambuf {
    public:
        buffer(std::FILE* to, bool must_succeed);
        int sync() override;

    protected:
        int_type overflow(int_type c) override;

    private:
        std::FILE* m_to;
        bool m_must_succeed, m_terminal;
        std::array<char, 1 << 12> m_bytes;
    };

    buffer m_out, m_err;
    std::streambuf *m_out_before, *m_err_before;
};

/// Replaces control characters (except line breaks and tabs) and invalid UTF-8 by U+FFFD.
[[nodiscard]] std::string without_controls(std::string_view text);

/// Flushes std::cout and writes terminal sequences to standard output unmodified.
void write_raw(std::string_view sequences);
