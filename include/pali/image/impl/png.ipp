// PNG decoder, through libpng's push API, so that a file truncated after its last pixel still opens, as in Pillow.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_PNG

#  include <pali/image/impl/source.ipp>

#  include <csetjmp>
#  include <cstring>

#  include <png.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Wraps libpng and its error handling. libpng reports errors by longjmp, so the guarded code must hold no object with a destructor.
/// Rows arrive as stored: pass by pass if interlaced; gray and palette indices as one or two bytes per pixel.
class png_reader {
public:
    explicit png_reader(const source& from) : m_from(from) {}
    png_reader(const png_reader&) = delete;
    png_reader& operator=(const png_reader&) = delete;
    ~png_reader() { png_destroy_read_struct(&m_png, &m_info, nullptr); }

    image decode() {
        read_header();
        m_image = image(m_width, m_height);
        guard([this] {
            m_png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
            m_info = m_png == nullptr ? nullptr : png_create_info_struct(m_png);
            if (m_info == nullptr) return;
            png_set_user_limits(m_png, 0x7fffffff, 0x7fffffff); // check_size() has enforced our limits
            png_set_crc_action(m_png, PNG_CRC_WARN_USE, PNG_CRC_WARN_DISCARD);
            // As in Pillow, neither a zlib header with too small a window nor a wrong checksum is an error.
            png_set_option(m_png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
            png_set_option(m_png, PNG_IGNORE_ADLER32, PNG_OPTION_ON);
            png_set_keep_unknown_chunks(m_png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
            png_set_progressive_read_fn(
                m_png, this, [](png_structp png, png_infop) { of(png).start(); },
                [](png_structp png, png_bytep row, png_uint_32 at, int pass) { of(png).take(row, at, pass); },
                [](png_structp, png_infop) {});
            png_process_data(m_png, m_info, const_cast<unsigned char*>(m_from.data()), m_from.size());
        });
        if (m_info == nullptr) throw std::bad_alloc();
        if (!complete()) incomplete("its data ends before its last pixel");
        if (m_bytes != 3) spread();
        return std::move(m_image);
    }

private:
    static png_reader& of(png_structp png) { return *static_cast<png_reader*>(png_get_progressive_ptr(png)); }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        png_reader& self = *static_cast<png_reader*>(png_get_error_ptr(png));
        std::strncpy(self.m_message, message, sizeof self.m_message - 1);
        std::longjmp(self.m_jump, 1);
    }

    /// A wrong CRC is an error in the header and the palette, but not in pixel data.
    static void on_warning(png_structp png, png_const_charp message) {
        constexpr png_uint_32 header_chunk = 0x49484452, palette_chunk = 0x504c5445;
        const png_uint_32 chunk = png_get_io_chunk_type(png);
        if ((chunk == header_chunk || chunk == palette_chunk) && std::strstr(message, "CRC") != nullptr) on_error(png, message);
    }

    /// Throws: truncated if the chunks run past the end of the file, damaged otherwise.
    [[noreturn]] void incomplete(const char* why) const {
        for (std::size_t at = 8; m_from.size() - at >= 12;) {
            const std::size_t length = big_endian(m_from.data() + at);
            if (std::memcmp(m_from.data() + at + 4, "IEND", 4) == 0) damaged(m_from, "PNG", why);
            if (length > m_from.size() - at - 12) break;
            at += length + 12;
        }
        truncated(m_from, "PNG");
    }

    [[nodiscard]] static std::size_t big_endian(const unsigned char* b) noexcept {
        return static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1]) << 16 | static_cast<std::size_t>(b[2]) << 8 | b[3];
    }

    template <class Step>
    void guard(const Step& step) {
        if (setjmp(m_jump) == 0) {
            step();
            return;
        }
        constexpr png_uint_32 data_chunk = 0x49444154;                        // IDAT
        if (complete() && png_get_io_chunk_type(m_png) != data_chunk) return; // data after the pixels is ignored
        damaged(m_from, "PNG", std::string_view(m_message));
    }

    // Checks the limits and counts the expected rows before libpng sees any data.
    void read_header() {
        cursor in(m_from, "PNG", 8);
        const unsigned char* chunk = in.take(8);
        if (std::memcmp(chunk, "\0\0\0\x0dIHDR", 8) != 0) damaged(m_from, "PNG", "it does not begin with a header chunk");
        const unsigned char* size = in.take(8);
        m_width = big_endian(size);
        m_height = big_endian(size + 4);
        check_size(m_from, m_width, m_height);
        const bool interlaced = in.take(5)[4] == 1;
        if (!interlaced) {
            m_rows_left = m_height;
            return;
        }
        for (int pass = 0; pass < 7; ++pass)
            if (PNG_PASS_COLS(m_width, pass) > 0) m_rows_left += PNG_PASS_ROWS(m_height, pass);
    }

    void start() {
        const int type = png_get_color_type(m_png, m_info);
        m_depth = png_get_bit_depth(m_png, m_info);
        m_interlaced = png_get_interlace_type(m_png, m_info) == PNG_INTERLACE_ADAM7;
        m_palette = type == PNG_COLOR_TYPE_PALETTE;
        m_wide_grey = type == PNG_COLOR_TYPE_GRAY && m_depth == 16;
        png_set_packing(m_png);                    // 1, 2 and 4 bits become a byte each, not scaled
        if (!m_wide_grey) png_set_strip_16(m_png); // keeps the high byte
        if (type & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(m_png);
        png_read_update_info(m_png, m_info);
        m_bytes = (type & PNG_COLOR_MASK_COLOR) && !m_palette ? 3 : m_wide_grey ? 2 : 1;
    }

    // Pixels of one or two bytes are stored at the end of the row's three-byte slots; spread() then expands them in place.
    void take(const unsigned char* row, std::size_t at, int pass) {
        if (row == nullptr || m_rows_left == 0) return;
        const std::size_t y = m_interlaced ? PNG_ROW_FROM_PASS_ROW(at, pass) : at;
        if (y >= m_height) return;
        std::uint8_t* out = m_image.at(0, y) + m_width * (3 - m_bytes);
        if (!m_interlaced) {
            std::memcpy(out, row, m_width * m_bytes);
        } else {
            for (std::size_t i = 0; i < PNG_PASS_COLS(m_width, pass); ++i)
                std::memcpy(out + PNG_COL_FROM_PASS_COL(i, pass) * m_bytes, row + i * m_bytes, m_bytes);
        }
        --m_rows_left;
    }

    [[nodiscard]] bool complete() const noexcept { return m_bytes != 0 && m_rows_left == 0; }

    void spread() {
        std::uint8_t colours[256][3] = {}; // indices past the palette are black
        if (m_palette) {
            png_colorp palette = nullptr;
            int count = 0;
            png_get_PLTE(m_png, m_info, &palette, &count);
            for (int i = 0; i < count && i < 256; ++i) {
                colours[i][0] = palette[i].red;
                colours[i][1] = palette[i].green;
                colours[i][2] = palette[i].blue;
            }
        } else {
            const int top = m_depth < 8 ? (1 << m_depth) - 1 : 255;
            for (int i = 0; i <= top; ++i) std::memset(colours[i], i * 255 / top, 3);
        }
        std::size_t above = 0;
        for (std::size_t y = 0; y < m_height; ++y) {
            std::uint8_t* const out = m_image.at(0, y);
            const std::uint8_t* const in = out + m_width * (3 - m_bytes);
            for (std::size_t x = 0; x < m_width; ++x) {
                // Pillow clips 16-bit gray to 255 but takes the high byte of 16-bit color.
                if (m_bytes == 2) above += in[2 * x] != 0;
                const std::uint8_t index = m_bytes == 1 ? in[x] : in[2 * x] != 0 ? std::uint8_t{255} : in[2 * x + 1];
                std::memcpy(out + 3 * x, colours[index], 3);
            }
        }
        warn_of_clipping(m_from, above, m_width * m_height);
    }

    const source& m_from;
    image m_image;
    png_structp m_png = nullptr;
    png_infop m_info = nullptr;
    std::jmp_buf m_jump{};
    char m_message[128] = {};
    std::size_t m_width = 0;
    std::size_t m_height = 0;
    std::size_t m_rows_left = 0;
    std::size_t m_bytes = 0; // bytes per pixel of a delivered row
    int m_depth = 0;
    bool m_interlaced = false;
    bool m_palette = false;
    bool m_wide_grey = false;
};

PALI_INLINE image decode_png(const source& from) { return png_reader(from).decode(); }

}}} // namespace pali::PALI_ABI::image_detail

#endif
