// TIFF decoder, through libtiff: the first page. The orientation tag is always applied, as in Pillow.
#pragma once

#include <pali/image/impl/formats.hpp>

#if PALI_WITH_TIFF

#  include <pali/image/impl/exif.ipp>
#  include <pali/image/impl/source.ipp>

#  include <algorithm>
#  include <array>
#  include <cstdarg>
#  include <cstdio>
#  include <cstring>
#  include <limits>
#  include <memory>
#  include <utility>
#  include <vector>

#  include <tiffio.h>

namespace pali { inline namespace PALI_ABI { namespace image_detail {

/// Decodes one page. Samples are reduced to 8 bits as in Pillow: gray is clipped, color keeps its high byte.
class tiff_reader {
public:
    explicit tiff_reader(const source& from) : m_from(from) {
        const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
        if (options == nullptr) throw std::bad_alloc();
        TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, this);
        TIFFOpenOptionsSetWarningHandlerExtR(
            options.get(), [](TIFF*, void*, const char*, const char*, std::va_list) { return 1; }, nullptr);
        const std::size_t most =
            std::min<std::size_t>(from.options.max_pixels, std::numeric_limits<tmsize_t>::max() / 64) * 16 + (std::size_t{64} << 20);
        TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(most));
        m_tiff.reset(TIFFClientOpenExt(
            "image", "rm", this, read, [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; }, seek, [](thandle_t) { return 0; },
            [](thandle_t of) -> toff_t { return self(of).m_from.size(); }, [](thandle_t, void**, toff_t*) { return 0; },
            [](thandle_t, void*, toff_t) {}, options.get()));
        if (m_tiff == nullptr) fail();
    }
    tiff_reader(const tiff_reader&) = delete;
    tiff_reader& operator=(const tiff_reader&) = delete;

    image decode() {
        read_tags();
        image made = m_by_libtiff ? read_rgba() : convert(read_samples());
        warn_of_clipping(m_from, m_above, m_width * m_height);
        return upright(std::move(made), m_orientation >= 1 && m_orientation <= 8 ? m_orientation : 1);
    }

private:
    static tiff_reader& self(thandle_t of) { return *static_cast<tiff_reader*>(of); }

    static tmsize_t read(thandle_t of, void* to, tmsize_t size) {
        tiff_reader& r = self(of);
        const std::size_t count = r.m_at >= r.m_from.size() ? 0 : std::min(static_cast<std::size_t>(size), r.m_from.size() - r.m_at);
        if (count > 0) std::memcpy(to, r.m_from.data() + r.m_at, count);
        r.m_at += count;
        return static_cast<tmsize_t>(count);
    }
    static toff_t seek(thandle_t of, toff_t to, int whence) {
        tiff_reader& r = self(of);
        r.m_at = static_cast<std::size_t>(to) + (whence == SEEK_CUR ? r.m_at : whence == SEEK_END ? r.m_from.size() : 0);
        return r.m_at;
    }
    static int on_error(TIFF*, void* user, const char*, const char* form, std::va_list values) {
        tiff_reader& r = *static_cast<tiff_reader*>(user);
        if (r.m_message[0] == '\0')
            std::vsnprintf(r.m_message, sizeof r.m_message, form, values); // keeps the first message, which names the cause
        return 1;
    }

    /// Throws what libtiff reported: truncated if the directory or pixel data lies past the end of the file.
    [[noreturn]] void fail() const {
        bool whole = true;
        if (m_tiff == nullptr) {
            const unsigned char* b = m_from.data();
            std::size_t directory = 0;
            for (std::size_t i = 0; i < 4 && m_from.size() >= 8; ++i) directory = directory << 8 | b[b[0] == 'I' ? 7 - i : 4 + i];
            const bool big = m_from.size() >= 4 && (b[2] == 43 || b[3] == 43);
            whole = m_from.size() >= 8 && (big || directory + 2 <= m_from.size());
        } else {
            const std::uint32_t pieces = TIFFIsTiled(m_tiff.get()) ? TIFFNumberOfTiles(m_tiff.get()) : TIFFNumberOfStrips(m_tiff.get());
            for (std::uint32_t i = 0; i < pieces && whole; ++i) {
                const std::uint64_t offset = TIFFGetStrileOffset(m_tiff.get(), i), bytes = TIFFGetStrileByteCount(m_tiff.get(), i);
                whole = offset <= m_from.size() && bytes <= m_from.size() - offset;
            }
        }
        if (!whole) truncated(m_from, "TIFF");
        damaged(m_from, "TIFF", m_message[0] == '\0' ? "libtiff cannot decode it" : std::string_view(m_message));
    }

    template <class T>
    T tag(std::uint32_t which, T otherwise) const {
        T value = otherwise;
        return TIFFGetFieldDefaulted(m_tiff.get(), which, &value) == 1 ? value : otherwise;
    }

    void read_tags() {
        m_width = tag<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
        m_height = tag<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0);
        check_size(m_from, m_width, m_height);
        m_orientation = tag<std::uint16_t>(TIFFTAG_ORIENTATION, 1);
        m_bits = tag<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
        m_samples = tag<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
        m_format = tag<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
        m_planar = tag<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
        m_photometric = tag<std::uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
        const auto compression = tag<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
        if (!TIFFIsCODECConfigured(compression))
            refuse(errc::unsupported_image, m_from,
                   {"TIFF compression ", compression, " is not supported by this libtiff; save it with LZW or deflate"});
        if (m_photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG && !m_planar) {
            TIFFSetField(m_tiff.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
            m_photometric = PHOTOMETRIC_RGB;
        } else if (m_photometric == PHOTOMETRIC_YCBCR || compression == COMPRESSION_OJPEG) {
            m_by_libtiff = true;
            return;
        }
        std::uint16_t count = 0;
        const std::uint16_t* kinds = nullptr;
        TIFFGetFieldDefaulted(m_tiff.get(), TIFFTAG_EXTRASAMPLES, &count, &kinds);
        m_channels = m_photometric == PHOTOMETRIC_RGB ? 3 : m_photometric == PHOTOMETRIC_SEPARATED ? 4 : 1;
        m_alpha = count > 0 && kinds != nullptr && kinds[0] == EXTRASAMPLE_ASSOCALPHA && m_channels != 4;
        check_layout();
    }

    void check_layout() const {
        const bool grey = m_photometric == PHOTOMETRIC_MINISWHITE || m_photometric == PHOTOMETRIC_MINISBLACK,
                   palette = m_photometric == PHOTOMETRIC_PALETTE;
        const bool colours = m_photometric == PHOTOMETRIC_RGB || m_photometric == PHOTOMETRIC_SEPARATED,
                   floats = m_format == SAMPLEFORMAT_IEEEFP;
        if (!grey && !palette && !colours)
            refuse(errc::unsupported_image, m_from,
                   {"TIFF with photometric interpretation ", m_photometric, " is not supported; gray, RGB, palette, CMYK and YCbCr are"});
        const bool few = m_bits == 1 || m_bits == 2 || m_bits == 4,
                   bits = m_bits == 8 || (few && !colours) || (m_bits == 16 && !palette) || (m_bits == 32 && grey);
        if (!bits || (floats && m_bits != 32) || m_format > SAMPLEFORMAT_IEEEFP)
            refuse(errc::unsupported_image, m_from,
                   {"TIFF of ", m_bits, " bits per sample", floats ? ", floating point," : "", " is not supported; convert it to 8 bits"});
        const std::size_t needed = m_channels + (m_alpha ? 1 : 0);
        if (m_samples < needed || m_samples > 16)
            refuse(errc::unsupported_image, m_from, {"TIFF of ", m_samples, " samples per pixel is not supported; ", needed, " to 16 are"});
    }

    /// Converts a sample to 8 bits; palette indices are kept.
    [[nodiscard]] std::uint8_t level(const unsigned char* row, std::size_t at) {
        const bool inverted = m_photometric == PHOTOMETRIC_MINISWHITE;
        if (m_bits <= 8) {
            const std::size_t bit = at * m_bits;
            const unsigned top = (1u << m_bits) - 1, value = row[bit / 8] >> (8 - m_bits - bit % 8) & top;
            if (m_photometric == PHOTOMETRIC_PALETTE) return static_cast<std::uint8_t>(value);
            return static_cast<std::uint8_t>((inverted ? top - value : value) * 255 / top);
        }
        if (m_bits == 16) {
            std::uint16_t value = 0;
            std::memcpy(&value, row + 2 * at, 2);
            if (m_channels > 1) return static_cast<std::uint8_t>(value >> 8);
            return clip(m_format == SAMPLEFORMAT_INT ? static_cast<std::int16_t>(value) : std::int32_t{value});
        }
        if (m_format == SAMPLEFORMAT_IEEEFP) {
            float value = 0;
            std::memcpy(&value, row + 4 * at, 4);
            return value > 255.0f ? clip(256) : value > 0.0f ? static_cast<std::uint8_t>(value) : std::uint8_t{0};
        }
        std::int32_t value = 0; // used for unsigned samples as well, as in Pillow
        std::memcpy(&value, row + 4 * at, 4);
        return clip(value);
    }
    std::uint8_t clip(std::int32_t value) noexcept {
        m_above += value > 255;
        return static_cast<std::uint8_t>(std::clamp(value, 0, 255));
    }

    /// Reads the color channels, plus alpha if it is premultiplied, interleaved.
    std::vector<std::uint8_t> read_samples() {
        TIFF* const tiff = m_tiff.get();
        const bool tiled = TIFFIsTiled(tiff) != 0;
        const std::size_t across = tiled ? tag<std::uint32_t>(TIFFTAG_TILEWIDTH, 0) : m_width;
        const std::size_t down = tiled ? tag<std::uint32_t>(TIFFTAG_TILELENGTH, 0)
                                       : std::clamp<std::size_t>(tag<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, 1), 1, m_height);
        check_size(m_from, across, down);
        const std::size_t kept = m_channels + (m_alpha ? 1 : 0), together = m_planar ? 1 : m_samples;
        const auto stride = static_cast<std::size_t>(std::max<tmsize_t>(tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff), 0));
        const auto size = static_cast<std::size_t>(std::max<tmsize_t>(tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff), 0));
        if (stride < (across * together * m_bits + 7) / 8 || size < stride * down) fail();
        std::vector<unsigned char> piece(size);
        std::vector<std::uint8_t> samples(m_width * m_height * kept);
        for (std::size_t plane = 0; plane < (m_planar ? kept : 1); ++plane)
            for (std::size_t y0 = 0; y0 < m_height; y0 += down)
                for (std::size_t x0 = 0; x0 < m_width; x0 += across) {
                    const std::size_t rows = std::min(down, m_height - y0), columns = std::min(across, m_width - x0);
                    const auto x = static_cast<std::uint32_t>(x0), y = static_cast<std::uint32_t>(y0);
                    const auto which = static_cast<std::uint16_t>(plane);
                    const auto wanted = static_cast<tmsize_t>(tiled ? size : rows * stride);
                    const tmsize_t got = tiled ? TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, which), piece.data(), wanted)
                                               : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, which), piece.data(), wanted);
                    if (got < static_cast<tmsize_t>(rows * stride)) fail();
                    for (std::size_t r = 0; r < rows; ++r) {
                        std::uint8_t* out = samples.data() + ((y0 + r) * m_width + x0) * kept + plane;
                        if (m_bits == 8 && kept == together && m_photometric != PHOTOMETRIC_MINISWHITE) {
                            std::memcpy(out, piece.data() + r * stride, columns * kept);
                            continue;
                        }
                        for (std::size_t c = 0; c < columns; ++c, out += kept)
                            for (std::size_t s = 0; s < (m_planar ? 1 : kept); ++s)
                                out[s] = level(piece.data() + r * stride, c * together + s);
                    }
                }
        return samples;
    }

    image convert(std::vector<std::uint8_t> samples) const {
        std::array<std::array<std::uint8_t, 3>, 256> colours{};
        for (std::size_t i = 0; i < colours.size(); ++i) colours[i].fill(static_cast<std::uint8_t>(i));
        if (m_photometric == PHOTOMETRIC_PALETTE) {
            std::array<std::uint16_t*, 3> map{};
            if (TIFFGetField(m_tiff.get(), TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]) != 1) damaged(m_from, "TIFF", "it has no palette");
            for (std::size_t i = 0; i < std::size_t{1} << m_bits; ++i)
                for (std::size_t c = 0; c < 3; ++c) colours[i][c] = static_cast<std::uint8_t>(map[c][i] >> 8);
        }
        image made;
        made.width = m_width, made.height = m_height;
        if (m_channels == 3 && !m_alpha) {
            made.pixels = std::move(samples);
            return made;
        }
        made.pixels.resize(m_width * m_height * 3);
        const std::size_t kept = m_channels + (m_alpha ? 1 : 0);
        for (std::size_t i = 0; i < m_width * m_height; ++i) {
            const std::uint8_t* const in = samples.data() + i * kept;
            std::uint8_t* const out = made.pixels.data() + 3 * i;
            if (m_channels == 1) std::memcpy(out, colours[in[0]].data(), 3);
            else if (m_channels == 3) std::memcpy(out, in, 3); // skips alpha
            else from_cmyk(in, out);
            if (m_alpha && in[m_channels] != 255)
                for (std::size_t c = 0; c < 3; ++c)
                    out[c] =
                        in[m_channels] == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(std::min(255, out[c] * 255 / in[m_channels]));
        }
        return made;
    }

    /// As in Pillow's Convert.c, a channel is (255 - k) minus (255 - k) · ink / 255.
    static void from_cmyk(const std::uint8_t* in, std::uint8_t* out) noexcept {
        const unsigned light = 255u - in[3];
        for (std::size_t c = 0; c < 3; ++c) {
            const unsigned product = in[c] * light + 128u;
            out[c] = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
        }
    }

    /// Reads YCbCr that libjpeg does not convert to RGB, with libtiff's own conversion.
    image read_rgba() {
        std::array<char, 1024> why{};
        TIFFRGBAImage image{};
        if (TIFFRGBAImageBegin(&image, m_tiff.get(), 1, why.data()) == 0) fail();
        const std::unique_ptr<TIFFRGBAImage, void (*)(TIFFRGBAImage*)> owned(&image, TIFFRGBAImageEnd);
        image.orientation = image.req_orientation = ORIENTATION_TOPLEFT; // upright() applies the orientation
        std::vector<std::uint32_t> pixels(m_width * m_height);
        if (TIFFRGBAImageGet(&image, pixels.data(), static_cast<std::uint32_t>(m_width), static_cast<std::uint32_t>(m_height)) == 0) fail();
        pali::image made(m_width, m_height);
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            made.pixels[3 * i] = static_cast<std::uint8_t>(TIFFGetR(pixels[i]));
            made.pixels[3 * i + 1] = static_cast<std::uint8_t>(TIFFGetG(pixels[i]));
            made.pixels[3 * i + 2] = static_cast<std::uint8_t>(TIFFGetB(pixels[i]));
        }
        return made;
    }

    struct closer {
        void operator()(TIFF* tiff) const noexcept { TIFFClose(tiff); }
    };

    const source& m_from;
    char m_message[256] = {};
    std::size_t m_at = 0; // read position
    std::unique_ptr<TIFF, closer> m_tiff;
    std::size_t m_width = 0, m_height = 0;
    std::size_t m_bits = 1, m_samples = 1; // bits per sample; samples per pixel
    std::size_t m_channels = 1;            // color channels
    std::size_t m_above = 0;               // gray samples over 255
    unsigned m_format = 0, m_photometric = 0;
    int m_orientation = 1;
    bool m_planar = false; // one plane per sample
    bool m_alpha = false;  // colors are premultiplied by the sample after them
    bool m_by_libtiff = false;
};

PALI_INLINE image decode_tiff(const source& from) { return tiff_reader(from).decode(); }

}}} // namespace pali::PALI_ABI::image_detail

#endif
