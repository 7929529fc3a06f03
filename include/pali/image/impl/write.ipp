// Implementation of write.hpp: libpng and libjpeg, or stb if they are absent.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/image/impl/formats.hpp>
#include <pali/image/write.hpp>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#if PALI_WITH_PNG
#  include <png.h>
#endif
#if PALI_WITH_JPEG
#  include <jpeglib.h>
#endif
#if PALI_WITH_STB && !(PALI_WITH_PNG && PALI_WITH_JPEG)
#  include <pali/image/impl/stb_write.ipp>
#endif

namespace pali { inline namespace PALI_ABI {

namespace image_detail {

PALI_INLINE void check_pixels(const char* what, std::size_t width, std::size_t height, std::size_t channels, std::size_t bytes) {
    constexpr std::size_t most = 1'000'000; // libpng's own limit; JPEG's is lower
    if (width != 0 && height != 0 && width <= most && height <= most && bytes == width * height * channels) return;
    throw error(errc::invalid_argument,
                {what, ": an image of ", width, " x ", height, " with ", bytes, " bytes; it needs at least one pixel, sides of at most ",
                 most, ", and ", channels, " bytes per pixel"});
}

#if PALI_WITH_PNG
/// libpng reports errors by longjmp, so the guarded code must hold no object with a destructor.
class png_writer {
public:
    png_writer() = default;
    png_writer(const png_writer&) = delete;
    png_writer& operator=(const png_writer&) = delete;
    ~png_writer() { png_destroy_write_struct(&m_png, &m_info); }

    std::vector<std::byte> encode(std::size_t width, std::size_t height, int colour, const std::uint8_t* pixels, std::size_t stride) {
        if (setjmp(m_jump) != 0) {
            if (m_out_of_memory) throw std::bad_alloc();
            throw error(errc::invalid_argument, std::string("encode_png: ") + m_message);
        }
        write(width, height, colour, pixels, stride);
        return std::move(m_bytes);
    }

private:
    void write(std::size_t width, std::size_t height, int colour, const std::uint8_t* pixels, std::size_t stride) {
        m_png = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
        m_info = m_png == nullptr ? nullptr : png_create_info_struct(m_png);
        m_out_of_memory = m_info == nullptr;
        if (m_out_of_memory) on_error_of(*this, "out of memory");
        png_set_write_fn(m_png, this, append, [](png_structp) {});
        png_set_IHDR(m_png, m_info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8, colour, PNG_INTERLACE_NONE,
                     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_write_info(m_png, m_info);
        for (std::size_t y = 0; y < height; ++y) png_write_row(m_png, pixels + y * stride);
        png_write_end(m_png, m_info);
    }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        on_error_of(*static_cast<png_writer*>(png_get_error_ptr(png)), message);
    }
    [[noreturn]] static void on_error_of(png_writer& self, const char* message) {
        std::strncpy(self.m_message, message, sizeof self.m_message - 1);
        std::longjmp(self.m_jump, 1);
    }
    static void append(png_structp png, png_bytep data, std::size_t size) {
        if (!static_cast<png_writer*>(png_get_io_ptr(png))->keep(data, size)) png_error(png, "out of memory");
    }
    bool keep(const unsigned char* data, std::size_t size) noexcept {
        try {
            const auto* bytes = reinterpret_cast<const std::byte*>(data);
            m_bytes.insert(m_bytes.end(), bytes, bytes + size);
            return true;
        } catch (const std::bad_alloc&) { // must not propagate through libpng
            m_out_of_memory = true;
            return false;
        }
    }

    png_structp m_png = nullptr;
    png_infop m_info = nullptr;
    std::jmp_buf m_jump{};
    char m_message[128] = {};
    bool m_out_of_memory = false;
    std::vector<std::byte> m_bytes;
};
#endif

#if PALI_WITH_JPEG
/// libjpeg reports errors by longjmp, so the guarded code must hold no object with a destructor.
class jpeg_writer {
public:
    jpeg_writer() = default;
    jpeg_writer(const jpeg_writer&) = delete;
    jpeg_writer& operator=(const jpeg_writer&) = delete;
    ~jpeg_writer() { jpeg_destroy_compress(&m_info); }

    std::vector<std::byte> encode(const image& image, int quality) {
        if (setjmp(m_jump) != 0) {
            if (m_out_of_memory) throw std::bad_alloc();
            char message[JMSG_LENGTH_MAX] = {};
            m_errors.format_message(reinterpret_cast<j_common_ptr>(&m_info), message);
            throw error(errc::invalid_argument, std::string("encode_jpeg: ") + message);
        }
        write(image, quality);
        return std::move(m_bytes);
    }

private:
    void write(const image& image, int quality) {
        m_info.err = jpeg_std_error(&m_errors);
        m_errors.error_exit = [](j_common_ptr info) { std::longjmp(static_cast<jpeg_writer*>(info->client_data)->m_jump, 1); };
        m_errors.output_message = [](j_common_ptr) {};
        m_info.client_data = this;
        jpeg_create_compress(&m_info);
        m_info.dest = &m_destination; // not jpeg_mem_dest, whose buffer cannot be freed after a failure
        m_destination.init_destination = [](j_compress_ptr info) { of(info).grow(0); };
        m_destination.empty_output_buffer = [](j_compress_ptr info) -> boolean { return of(info).grow(of(info).m_bytes.size()), TRUE; };
        m_destination.term_destination = [](j_compress_ptr info) {
            of(info).m_bytes.resize(of(info).m_bytes.size() - of(info).m_destination.free_in_buffer);
        };
        m_info.image_width = static_cast<JDIMENSION>(image.width);
        m_info.image_height = static_cast<JDIMENSION>(image.height);
        m_info.input_components = 3;
        m_info.in_color_space = JCS_RGB;
        jpeg_set_defaults(&m_info);
        jpeg_set_quality(&m_info, quality, TRUE);
        jpeg_start_compress(&m_info, TRUE);
        while (m_info.next_scanline < m_info.image_height) {
            auto* row = const_cast<std::uint8_t*>(image.at(0, m_info.next_scanline));
            jpeg_write_scanlines(&m_info, &row, 1);
        }
        jpeg_finish_compress(&m_info);
    }

    [[nodiscard]] static jpeg_writer& of(j_compress_ptr info) noexcept { return *static_cast<jpeg_writer*>(info->client_data); }

    /// Provides more output space after the first `used` bytes.
    void grow(std::size_t used) noexcept {
        if (!make_room(std::max<std::size_t>(1 << 16, 2 * used))) {
            m_out_of_memory = true;
            std::longjmp(m_jump, 1);
        }
        m_destination.next_output_byte = reinterpret_cast<JOCTET*>(m_bytes.data()) + used;
        m_destination.free_in_buffer = m_bytes.size() - used;
    }
    bool make_room(std::size_t bytes) noexcept {
        try {
            m_bytes.resize(bytes);
            return true;
        } catch (const std::bad_alloc&) { // must not propagate through libjpeg
            return false;
        }
    }

    jpeg_compress_struct m_info{};
    jpeg_error_mgr m_errors{};
    jpeg_destination_mgr m_destination{};
    std::jmp_buf m_jump{};
    bool m_out_of_memory = false;
    std::vector<std::byte> m_bytes;
};
#endif

PALI_INLINE std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::size_t channels, const std::uint8_t* pixels) {
#if PALI_WITH_PNG
    return png_writer().encode(width, height, channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, pixels, width * channels);
#elif PALI_WITH_STB
    return encode_png_by_stb(width, height, channels, pixels);
#else
    (void)width, (void)height, (void)channels, (void)pixels;
    throw error(errc::cannot_write, "encode_png: this build of pali was made without libpng and stb");
#endif
}

} // namespace image_detail

PALI_INLINE std::vector<std::byte> encode_png(const image& image) {
    image_detail::check_pixels("encode_png", image.width, image.height, 3, image.pixels.size());
    return image_detail::encode_png(image.width, image.height, 3, image.pixels.data());
}

PALI_INLINE std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::span<const std::uint8_t> grey) {
    image_detail::check_pixels("encode_png", width, height, 1, grey.size());
    return image_detail::encode_png(width, height, 1, grey.data());
}

PALI_INLINE std::vector<std::byte> encode_jpeg(const image& image, int quality) {
    image_detail::check_pixels("encode_jpeg", image.width, image.height, 3, image.pixels.size());
    if (quality < 1 || quality > 100) throw error(errc::invalid_argument, {"encode_jpeg: quality is ", quality, "; it must be 1 to 100"});
#if PALI_WITH_JPEG
    return image_detail::jpeg_writer().encode(image, quality);
#elif PALI_WITH_STB
    return image_detail::encode_jpeg_by_stb(image, quality);
#else
    throw error(errc::cannot_write, "encode_jpeg: this build of pali was made without libjpeg and stb");
#endif
}

PALI_INLINE void write_png(const std::filesystem::path& path, const image& image) { core::write_file(path, encode_png(image)); }

PALI_INLINE void write_png(const std::filesystem::path& path, std::size_t width, std::size_t height, std::span<const std::uint8_t> grey) {
    core::write_file(path, encode_png(width, height, grey));
}

PALI_INLINE void write_jpeg(const std::filesystem::path& path, const image& image, int quality) {
    core::write_file(path, encode_jpeg(image, quality));
}

}} // namespace pali::PALI_ABI
