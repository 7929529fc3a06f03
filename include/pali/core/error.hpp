// Errors: one class, stable codes, and messages that say what was found, what was needed and what to do.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/macros.hpp>

#include <stdexcept>

namespace pali { inline namespace PALI_ABI {

/// What went wrong. The numbers are stable: they are printed as "[pali.301]" and never reused.
enum class errc : int {
    invalid_argument = 101,   ///< an option or argument is outside what the call allows
    unknown_variant = 102,    ///< no configuration of that name
    capacity_exceeded = 103,  ///< a sequence is longer than its key-value cache
    cancelled = 104,          ///< a callback asked to stop
    too_few_threads = 105,    ///< the system starts no more threads
    cannot_open = 201,        ///< a file or folder is missing or cannot be read
    malformed_file = 202,     ///< the contents contradict the file's format
    unsupported_format = 203, ///< a known format in a form that is not read (dtype, compression, …)
    cannot_write = 204,       ///< a file cannot be written
    checkpoint_mismatch =
        301,                ///< tensors missing or of another shape, and with load_options::strict unexpected; ten of a kind in one message
    config_mismatch = 302,  ///< config.json differs from the compiled configuration; the differences, ten at most, in one message
    malformed_config = 303, ///< config.json is no JSON, lacks a field, or holds a value of the wrong kind
    unsupported_config = 304,  ///< a model that is valid but of a kind this library does not run
    malformed_image = 401,     ///< an image that cannot be decoded
    image_too_large = 402,     ///< an image over the limits on sides or pixels
    unsupported_image = 403,   ///< an image in a format that this build cannot read
    malformed_tokenizer = 501, ///< tokenizer.model or tokenizer.json cannot be read
    missing_token = 502,       ///< a piece that the model needs (`<image>`, `<bos>`, …) has no id
    invalid_prompt = 503,      ///< a prompt that cannot be laid out
    unsupported_arch = 601,    ///< an instruction set was forced that this processor or build lacks
};

/// Base of all exceptions thrown by the library. `what()` reads "[pali.<code>] <message>".
class error : public std::runtime_error {
public:
    /// `message` says what was found, what was needed and what to do; the code is put in front of it: error(errc::cannot_open, {file, ":
    /// has ", n, " bytes"}).
    PALI_COLD error(errc code, const error_text& message)
        : std::runtime_error(error_text{"[pali.", static_cast<int>(code), "] ", message}.str()), m_code(code) {}

    /// The stable code.
    [[nodiscard]] errc code() const noexcept { return m_code; }

private:
    errc m_code;
};

}} // namespace pali::PALI_ABI
