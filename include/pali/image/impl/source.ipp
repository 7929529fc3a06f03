// Input of the decoders, and checked reading of untrusted bytes.
#pragma once

#include <pali/core/error.hpp>
#include <pali/image/read.hpp>

#include <cstdint>
#include <string>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// The bytes of one image, its name for messages, and its limits.
struct source {
    std::span<const std::byte> bytes;
    std::string_view name;
    const read_options& options;

    [[nodiscard]] const unsigned char* data() const noexcept { return reinterpret_cast<const unsigned char*>(bytes.data()); }
    [[nodiscard]] std::size_t size() const noexcept { return bytes.size(); }
};

[[noreturn]] PALI_INLINE void refuse(errc code, const source& from, error_text&& why) {
    throw error(code, {from.name, ": ", std::move(why).str()});
}

[[noreturn]] PALI_INLINE void malformed(const source& from, error_text&& why) { refuse(errc::malformed_image, from, std::move(why)); }

/// Throws `malformed_image`: the file ends before the image does.
[[noreturn]] PALI_INLINE void truncated(const source& from, const char* format) {
    malformed(from,
              {"the ", format, " is truncated: it ends after ", from.size(), " bytes, before its last pixel; copy or download it again"});
}

/// Throws `malformed_image`: the file is complete but invalid.
[[noreturn]] PALI_INLINE void damaged(const source& from, const char* format, error_text&& why) {
    malformed(from, {"the ", format, " is damaged: ", std::move(why).str()});
}

/// Throws unless the image size is within the limits. Called before pixel memory is allocated.
PALI_INLINE void check_size(const source& from, std::size_t width, std::size_t height) {
    if (width == 0 || height == 0) malformed(from, {"the image is ", width, " x ", height, " pixels; it has no pixels"});
    const read_options& most = from.options;
    if (width > most.max_side || height > most.max_side)
        refuse(errc::image_too_large, from,
               {"the image is ", width, " x ", height, " pixels; a side may have at most ", most.max_side,
                ": raise max_side if you trust the file"});
    if (width > most.max_pixels / height)
        refuse(errc::image_too_large, from,
               {"the image is ", width, " x ", height, " pixels; it may have at most ", most.max_pixels,
                " in total: raise max_pixels if you trust the file"});
}

/// Warns if `above` of `pixels` gray values (more than 8 bits) exceed 255 and are clipped to white, as in Pillow.
PALI_INLINE void warn_of_clipping(const source& from, std::size_t above, std::size_t pixels) {
    if (above == 0 || !from.options.on_warning) return;
    from.options.on_warning(error_text{from.name, ": gray with more than 8 bits: ", above, " of ", pixels,
                                       " pixels are above 255 and are clipped to white, as in Pillow; scale the image to 8 bits first"}
                                .str());
}

/// Reads integers sequentially; throws `malformed_image` at the end of the bytes.
class cursor {
public:
    cursor(const source& from, const char* format, std::size_t at = 0) : m_from(from), m_format(format) { take(at); }

    [[nodiscard]] std::size_t position() const noexcept { return m_at; }
    [[nodiscard]] std::size_t left() const noexcept { return m_from.size() - m_at; }
    [[nodiscard]] bool at_end() const noexcept { return left() == 0; }

    /// Consumes `count` bytes.
    const unsigned char* take(std::size_t count) {
        if (count > left()) truncated(m_from, m_format);
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
        return b[0] | static_cast<std::uint32_t>(b[1]) << 8 | static_cast<std::uint32_t>(b[2]) << 16 |
               static_cast<std::uint32_t>(b[3]) << 24;
    }

private:
    const source& m_from;
    const char* m_format;
    std::size_t m_at = 0;
};

}}} // namespace pali::PALI_ABI::image_detail
