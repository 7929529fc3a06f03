// Standard output and standard error as the subcommands use them: std::cout and std::cerr that lose nothing and keep control characters
// from a terminal.
#pragma once

#include <array>
#include <cstdio>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>

/// Standard output cannot be written to.
struct output_failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Replaces the buffers of std::cout and std::cerr while it lives. Written to a terminal, control characters become U+FFFD: names and
/// answers may hold any. A write to standard output that fails throws output_failure out of the expression that wrote.
class standard_streams {
public:
    standard_streams();
    ~standard_streams();
    standard_streams(const standard_streams&) = delete;
    standard_streams& operator=(const standard_streams&) = delete;

    /// Writes what is buffered. Throws output_failure.
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

/// Text with U+FFFD for control characters but line breaks and tabs, and for bytes that are not UTF-8.
[[nodiscard]] std::string without_controls(std::string_view text);

/// Writes sequences for the terminal to standard output as they are, behind what std::cout holds.
void write_raw(std::string_view sequences);
