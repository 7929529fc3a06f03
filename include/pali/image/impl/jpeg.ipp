// JPEG decoder, through libjpeg-turbo with Pillow's (default) settings: accurate DCT, fancy upsampling.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_JPEG

#  include <pali/image/impl/source.ipp>

#  include <csetjmp>
#  include <cstdio> // before jpeglib.h, which uses FILE

#  include <jpeglib.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Wraps libjpeg and its error handling. libjpeg reports errors by longjmp, so the guarded code must hold no object with a destructor.
class jpeg_reader {
public:
    explicit jpeg_reader(const source& from) : m_from(from) {
        m_info.err = jpeg_std_error(&m_errors);
        m_errors.error_exit = [](j_common_ptr info) { std::longjmp(of(info).m_jump, 1); };
        m_errors.output_message = [](j_common_ptr) {};
        m_info.client_data = this;
        m_progress.progress_monitor = [](j_common_ptr info) {
            // Limits the number of scans: each costs a pass over the whole image but may take only a few bytes of the file. Encoders write
            // about ten scans.
            if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > most_scans) std::longjmp(of(info).m_jump, 1);
        };
        m_input.init_source = [](j_decompress_ptr) {};
        m_input.fill_input_buffer = [](j_decompress_ptr info) -> boolean { end_reached(info); };
        m_input.skip_input_data = [](j_decompress_ptr info, long count) {
            if (count <= 0) return;
            if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) end_reached(info);
            info->src->next_input_byte += count;
            info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
        };
        m_input.resync_to_restart = jpeg_resync_to_restart;
        m_input.term_source = [](j_decompress_ptr) {};
        m_input.next_input_byte = from.data();
        m_input.bytes_in_buffer = from.size();
    }
    jpeg_reader(const jpeg_reader&) = delete;
    jpeg_reader& operator=(const jpeg_reader&) = delete;
    ~jpeg_reader() { jpeg_destroy_decompress(&m_info); }

    image decode() {
        guard([this] {
            jpeg_create_decompress(&m_info);
            m_info.src = &m_input;
            m_info.progress = &m_progress;
            jpeg_read_header(&m_info, TRUE);
        });
        check_size(m_from, m_info.image_width, m_info.image_height);
        const int channels = m_info.num_components;
        if (channels != 1 && channels != 3 && channels != 4)
            refuse(errc::unsupported_image, m_from, {"a JPEG with ", channels, " channels is not supported; 1, 3 or 4 are"});
        image made(m_info.image_width, m_info.image_height);
        std::vector<std::uint8_t> row(channels == 3 ? 0 : made.width * static_cast<std::size_t>(channels));
        guard([&] {
            m_info.out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
            jpeg_start_decompress(&m_info);
            while (m_info.output_scanline < m_info.output_height) {
                std::uint8_t* const out = made.at(0, m_info.output_scanline);
                JSAMPROW to = channels == 3 ? out : row.data();
                jpeg_read_scanlines(&m_info, &to, 1);
                if (channels == 1) from_grey(to, out, made.width);
                if (channels == 4) from_inverted_cmyk(to, out, made.width);
            }
            jpeg_finish_decompress(&m_info); // reads up to the end marker; if the marker is missing, the file is truncated
        });
        return made;
    }

private:
    static constexpr int most_scans = 1000;

    static jpeg_reader& of(j_common_ptr info) { return *static_cast<jpeg_reader*>(info->client_data); }

    [[noreturn]] static void end_reached(j_decompress_ptr info) {
        jpeg_reader& self = of(reinterpret_cast<j_common_ptr>(info));
        self.m_ended = true;
        std::longjmp(self.m_jump, 1);
    }

    template <class Step>
    void guard(const Step& step) {
        if (setjmp(m_jump) == 0) {
            step();
            return;
        }
        if (m_ended) truncated(m_from, "JPEG");
        if (m_info.input_scan_number > most_scans) damaged(m_from, "JPEG", {"it has more than ", most_scans, " scans"});
        char message[JMSG_LENGTH_MAX] = {};
        m_errors.format_message(reinterpret_cast<j_common_ptr>(&m_info), message);
        damaged(m_from, "JPEG", std::string_view(message));
    }

    static void from_grey(const std::uint8_t* in, std::uint8_t* out, std::size_t width) noexcept {
        for (std::size_t x = 0; x < width; ++x) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = in[x];
    }

    /// Inks are stored inverted, as Adobe does and Pillow assumes. As in Pillow's Convert.c, a channel is (255 - k) minus the share of it
    /// that the ink absorbs: (255 - k) · ink / 255.
    static void from_inverted_cmyk(const std::uint8_t* in, std::uint8_t* out, std::size_t width) noexcept {
        for (std::size_t x = 0; x < width; ++x) {
            const unsigned light = in[4 * x + 3];
            for (std::size_t c = 0; c < 3; ++c) {
                const unsigned product = (255u - in[4 * x + c]) * light + 128u;
                out[3 * x + c] = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
            }
        }
    }

    const source& m_from;
    jpeg_decompress_struct m_info{};
    jpeg_error_mgr m_errors{};
    jpeg_source_mgr m_input{};
    jpeg_progress_mgr m_progress{};
    std::jmp_buf m_jump{};
    bool m_ended = false;
};

PALI_INLINE image decode_jpeg(const source& from) { return jpeg_reader(from).decode(); }

}}} // namespace pali::PALI_ABI::image_detail

#endif
