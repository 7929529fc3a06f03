// What every decoder is given, and how it reads and refuses untrusted bytes.
#pragma once

#include <pali/core/error.hpp>
#include <pali/image/read.hpp>

#include <cstdint>
#include <string>

namespace pali::inline PALI_ABI::image_detail {

/// The bytes of one picture, its name for messages, and the limits it must keep.
struct source {
    std::span<const std::byte> bytes;
    std::string_view name;
    const read_options& options;

    [[nodiscard]] const unsigned char* data() const noexcept { return reinterpret_cast<const unsigned char*>(bytes.data()); }
    [[nodiscard]] std::size_t size() const noexcept { return bytes.size(); }
};

[[noreturn]] PALI_INLINE void refuse(errc code, const source& from, const error_text& why) {
    throw error(code, {from.name, ": ", why});
}

[[noreturn]] PALI_INLINE void malformed(const source& from, const error_text& why) { refuse(errc::malformed_image, from, why); }

[[noreturn]] PALI_INLINE void cut_short(const source& from, const char* format) {
    malformed(from, {"the ", format, " data ends early, after ", from.size(), " bytes; was the file cut short?"});
}

/// Throws unless a picture of this size is within the limits: called before anything is allocated for it.
PALI_INLINE void check_size(const source& from, std::size_t width, std::size_t height) {
    if (width == 0 || height == 0)
        malformed(from, {"the picture is ", width, " x ", height, " pixels; it has nothing to show"});
    const read_options& most = from.options;
    if (width <= most.max_side && height <= most.max_side && width <= most.max_pixels / height) return;
    refuse(errc::image_too_large, from, {"the picture is ", width, " x ", height, " pixels; the limits are ", most.max_side, " a side and ", most.max_pixels,
                                         " in all (read_options::max_side, max_pixels): raise them if the file is to be trusted"});
}

/// Reads numbers one after the other, and throws `malformed_image` where the bytes end.
class cursor {
public:
    cursor(const source& from, const char* format, std::size_t at = 0) : m_from(from), m_format(format) { take(at); }

    [[nodiscard]] std::size_t position() const noexcept { return m_at; }
    [[nodiscard]] std::size_t left() const noexcept { return m_from.size() - m_at; }
    [[nodiscard]] bool at_end() const noexcept { return left() == 0; }

    /// The next `count` bytes.
    const unsigned char* take(std::size_t count) {
        if (count > left()) cut_short(m_from, m_format);
        const unsigned char* taken = m_from.data() + m_at;
        m_at += count;
        return taken;
    }
    std::uint8_t u8() { return *take(1); }
    std::uint16_t u16() { // little-endian
        const unsigned char* b = take(2);
        return static_cast<std::uint16_t>(b[0] | b[1] << 8);
    }
    std::uint32_t u32() { // little-endian
        const unsigned char* b = take(4);
        return b[0] | static_cast<std::uint32_t>(b[1]) << 8 | static_cast<std::uint32_t>(b[2]) << 16 | static_cast<std::uint32_t>(b[3]) << 24;
    }

private:
    const source& m_from;
    const char* m_format;
    std::size_t m_at = 0;
};

} // namespace pali::inline PALI_ABI::image_detail
