// The exception class of the library, its stable codes, and messages that say what was found, what was needed and what to do.
#pragma once

#include <pali/core/error_text.hpp>
#include <pali/core/macros.hpp>

#include <stdexcept>

namespace pali { inline namespace PALI_ABI {

/// Error codes. The numbers are stable: they are printed as "[pali.301]" and never reused.
enum class errc : int {
    invalid_argument = 101,    ///< an option or argument is out of range for the call
    unknown_variant = 102,     ///< no configuration has that name
    capacity_exceeded = 103,   ///< a sequence is longer than its KV cache
    cancelled = 104,           ///< a callback asked to stop
    too_few_threads = 105,     ///< the system cannot start the requested number of threads
    forked_process = 106,      ///< a model is used in a child process after fork(), where its threads do not exist
    cannot_open = 201,         ///< a file or folder is missing or cannot be read
    malformed_file = 202,      ///< the contents violate the file's format
    unsupported_format = 203,  ///< a valid file that uses an unsupported part of its format (dtype, compression, …)
    cannot_write = 204,        ///< a file cannot be written
    checkpoint_mismatch = 301, ///< missing or misshapen tensors, or unexpected ones (load_options::strict); ten of a kind per message
    config_mismatch = 302,     ///< config.json differs from the compiled configuration; up to ten differences in one message
    malformed_config = 303,    ///< config.json is not JSON, lacks a field, or has a value of the wrong type
    unsupported_config = 304,  ///< a valid model that this library does not support
    malformed_image = 401,     ///< an image that cannot be decoded
    image_too_large = 402,     ///< an image exceeds the limits on sides or pixels
    unsupported_image = 403,   ///< the image format is not supported by this build
    malformed_tokenizer = 501, ///< tokenizer.model or tokenizer.json cannot be read
    missing_token = 502,       ///< a token that the model needs (`<image>`, `<bos>`, …) has no id
    invalid_prompt = 503,      ///< a prompt cannot be laid out
    unsupported_arch = 601,    ///< PALI_ARCH requests what this processor or build lacks, or no compiled kernels fit the processor
};

/// Base class of all exceptions of the library. `what()` is "[pali.<code>] <message>".
class error : public std::runtime_error {
public:
    /// Prefixes `message` with the code. The message says what was found, what was needed and what to do, as in error(errc::cannot_open,
    /// {file, ": has ", n, " bytes"}).
    PALI_COLD error(errc code, core::error_text&& message)
        : std::runtime_error(core::error_text{"[pali.", static_cast<int>(code), "] ", std::move(message).str()}.str()), m_code(code) {}

    /// The stable code.
    [[nodiscard]] errc code() const noexcept { return m_code; }

private:
    errc m_code;
};

}} // namespace pali::PALI_ABI
