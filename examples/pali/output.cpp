#include "output.hpp"

#include "console.hpp"

#include <pali/core/utf8.hpp>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <string>

std::string without_controls(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const pali::core::utf8_character c = pali::core::first_character(text);
        const std::size_t length = c.length > 0 ? c.length : 1;
        const bool is_control = c.length == 0 || (c.code < 0x20 && c.code != '\n' && c.code != '\t') || (c.code >= 0x7f && c.code < 0xa0);
        out += is_control ? pali::core::replacement_character : text.substr(0, length);
        text.remove_prefix(length);
    }
    return out;
}

standard_streams::buffer::buffer(std::FILE* to, bool must_succeed) : m_to(to), m_must_succeed(must_succeed), m_terminal(is_terminal(to)) {
    setp(m_bytes.data(), m_bytes.data() + m_bytes.size());
}

int standard_streams::buffer::sync() {
    std::string_view text(pbase(), static_cast<std::size_t>(pptr() - pbase()));
    const std::string shown = m_terminal ? without_controls(text) : std::string();
    if (m_terminal) text = shown;
    const bool written = std::fwrite(text.data(), 1, text.size(), m_to) == text.size() && std::fflush(m_to) == 0;
    const int why = errno;
    setp(m_bytes.data(), m_bytes.data() + m_bytes.size());
    if (written || !m_must_succeed) return 0;
    m_must_succeed = false; // so that the failure is reported only once
    throw output_failure(std::string("cannot write to standard output: ") + std::strerror(why));
}

standard_streams::buffer::int_type standard_streams::buffer::overflow(int_type c) {
    // A terminal must not receive a partial character, so an incomplete character at the end of the buffer is kept for the next write.
    std::string kept;
    if (m_terminal) {
        std::string_view rest(pbase(), static_cast<std::size_t>(pptr() - pbase()));
        for (std::size_t back = 1; back <= 3 && back <= rest.size(); ++back)
            if (pali::core::first_character(rest.substr(rest.size() - back)).cut_off) {
                kept = rest.substr(rest.size() - back);
                pbump(-static_cast<int>(back));
                break;
            }
    }
    sync();
    for (const char byte : kept) sputc(byte);
    if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
    return traits_type::not_eof(c);
}

standard_streams::standard_streams()
    : m_out(stdout, true), m_err(stderr, false), m_out_before(std::cout.rdbuf(&m_out)), m_err_before(std::cerr.rdbuf(&m_err)) {
    std::cout.exceptions(std::ios::badbit); // lets exceptions of sync() propagate
}

standard_streams::~standard_streams() {
    std::cout.exceptions(std::ios::goodbit);
    std::cout.clear();
    std::cout.rdbuf(m_out_before);
    std::cerr.rdbuf(m_err_before);
}

void standard_streams::flush() {
    std::cout.flush();
    m_err.pubsync();
}

void write_raw(std::string_view sequences) {
    std::cout.flush();
    std::fwrite(sequences.data(), 1, sequences.size(), stdout);
    std::fflush(stdout);
}
