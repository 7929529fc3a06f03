// Body of npz.hpp. The header of an array is a Python dictionary; the parser accepts what numpy writes.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/files/npz.hpp>
#include <pali/files/zip_members.ipp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

static_assert(std::endian::native == std::endian::little, "arrays are little-endian and read in place");

namespace pali { inline namespace PALI_ABI { namespace files {

/// The header of a .npy array.
class npy_header {
public:
    static constexpr std::size_t prefix = 12;        ///< bytes up to and including the header length of version 2; no array is shorter
    static constexpr std::size_t most_bytes = 65536; ///< maximum size of the dictionary: the limit of version 1
    static constexpr std::size_t most_dimensions = 32;

    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::uint64_t bytes = 0; ///< size of the data

    /// The size of the header, from the first 12 bytes of a member.
    [[nodiscard]] static std::uint64_t size(const zip_members& zip, std::string_view name, std::span<const std::byte, prefix> first) {
        std::array<unsigned char, prefix> b;
        std::memcpy(b.data(), first.data(), prefix);
        if (std::memcmp(b.data(), "\x93NUMPY", 6) != 0) zip.fail_member(name, "is not a .npy array: it does not begin with \\x93NUMPY");
        if (b[6] < 1 || b[6] > 3 || b[7] != 0)
            zip.fail_member(name, {"is a .npy array of version ", b[6], ".", b[7], "; 1.0, 2.0 and 3.0 are supported"},
                            errc::unsupported_format);
        const std::uint64_t low = b[8] | static_cast<std::uint64_t>(b[9]) << 8;
        const std::uint64_t length =
            b[6] == 1 ? low : low | static_cast<std::uint64_t>(b[10]) << 16 | static_cast<std::uint64_t>(b[11]) << 24;
        if (length > most_bytes) zip.fail_member(name, {"has a header of ", length, " bytes; at most ", most_bytes, " are supported"});
        return length + (b[6] == 1 ? 10 : 12);
    }

    npy_header(const zip_members& zip, std::string_view name, std::string_view dictionary) : m_zip(zip), m_name(name), m_text(dictionary) {
        bool has_type = false, has_order = false, has_shape = false;
        need('{');
        while (!take('}')) {
            const std::string_view key = quoted("a key");
            need(':');
            bool& has = key == "descr" ? has_type : key == "fortran_order" ? has_order : key == "shape" ? has_shape : unknown(key);
            if (std::exchange(has, true)) fail({"has ", in_quotes(key), " twice in its header"});
            if (key == "descr") read_type();
            else if (key == "fortran_order") read_order();
            else read_shape();
            if (!take(',')) {
                need('}');
                break;
            }
        }
        if (!has_type || !has_order || !has_shape) fail("lacks descr, fortran_order or shape in its header");
        skip();
        if (m_at != m_text.size()) fail("has text after the dictionary of its header");
        count_bytes();
    }

private:
    [[noreturn]] void fail(error_text&& what, errc code = errc::malformed_file) const { m_zip.fail_member(m_name, std::move(what), code); }
    [[noreturn]] bool& unknown(std::string_view key) const {
        fail({"has the key ", in_quotes(key), " in its header; the format defines descr, fortran_order and shape"});
    }

    void skip() noexcept {
        while (m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\n')) ++m_at;
    }
    [[nodiscard]] bool take(char c) noexcept {
        skip();
        if (m_at == m_text.size() || m_text[m_at] != c) return false;
        ++m_at;
        return true;
    }
    void need(char c) {
        if (!take(c)) fail({"lacks the '", std::string_view(&c, 1), "' at byte ", m_at, " of its header"});
    }

    [[nodiscard]] std::string_view quoted(const char* what) {
        skip();
        const char mark = m_at < m_text.size() ? m_text[m_at] : '\0';
        const std::size_t end = mark == '\'' || mark == '"' ? m_text.find(mark, m_at + 1) : std::string_view::npos;
        if (end == std::string_view::npos) fail({"lacks ", what, " in quotes at byte ", m_at, " of its header"});
        const std::string_view text = m_text.substr(m_at + 1, end - m_at - 1);
        m_at = end + 1;
        return text;
    }

    void read_type() {
        struct row {
            std::string_view descr;
            dtype type;
        };
        static constexpr row rows[] = {{"|b1", dtype::boolean}, {"|u1", dtype::u8},  {"|i1", dtype::i8},  {"<i2", dtype::i16},
                                       {"<u2", dtype::u16},     {"<f2", dtype::f16}, {"<i4", dtype::i32}, {"<u4", dtype::u32},
                                       {"<f4", dtype::f32},     {"<c8", dtype::c64}, {"<f8", dtype::f64}, {"<i8", dtype::i64},
                                       {"<u8", dtype::u64}};
        skip();
        if (m_at < m_text.size() && m_text[m_at] == '[')
            fail("is a structured array; only arrays of plain numbers are supported", errc::unsupported_format);
        const std::string_view descr = quoted("a type");
        if (descr.starts_with('>')) fail({"is big-endian (", in_quotes(descr), "); write it as x.astype('<f4')"}, errc::unsupported_format);
        for (const row& r : rows)
            if (descr == r.descr) {
                type = r.type;
                return;
            }
        fail({"has elements of type ", in_quotes(descr),
              "; supported are |b1, |u1, |i1, <i2, <u2, <f2, <i4, <u4, <f4, <c8, <f8, <i8 and <u8"},
             errc::unsupported_format);
    }

    void read_order() {
        skip();
        const std::string_view rest = m_text.substr(m_at);
        if (rest.starts_with("True")) fail("is in Fortran order; write it as numpy.ascontiguousarray(x)", errc::unsupported_format);
        if (!rest.starts_with("False")) fail("has a fortran_order that is neither True nor False");
        m_at += 5;
    }

    void read_shape() {
        need('(');
        bool comma = false;
        while (!take(')')) {
            if (!shape.empty() && !comma) fail("has a shape without a comma between its dimensions");
            if (shape.size() == most_dimensions) fail({"has more than ", most_dimensions, " dimensions, the supported maximum"});
            shape.push_back(side());
            comma = take(',');
        }
        if (shape.size() == 1 && !comma) fail("has an integer as its shape; a tuple is needed");
    }

    [[nodiscard]] std::size_t side() {
        skip();
        std::uint64_t value = 0;
        const std::size_t first = m_at;
        for (; m_at < m_text.size() && m_text[m_at] >= '0' && m_text[m_at] <= '9'; ++m_at) {
            const auto digit = static_cast<std::uint64_t>(m_text[m_at] - '0');
            if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) fail("has a dimension that does not fit into 64 bits");
            value = value * 10 + digit;
        }
        if (m_at == first) fail("has a dimension that is not an integer of 0 or more");
        return value;
    }

    /// Computes the data size. Throws if it overflows 64 bits, even if another dimension is 0.
    void count_bytes() {
        const std::optional<std::uint64_t> size = checked_size(size_of(type), shape);
        if (!size) fail({"has shape ", describe_shape(shape), ", whose size does not fit into 64 bits"});
        bytes = *size;
    }

    const zip_members& m_zip;
    std::string_view m_name, m_text;
    std::size_t m_at = 0;
};

/// Parses the header of a member and checks that shape and dtype match the size of the member.
[[nodiscard]] PALI_INLINE npy_header read_npy_header(const zip_members& zip, const zip_members::member& m,
                                                     std::span<const std::byte> header) {
    const std::size_t prefix = header[6] == std::byte{1} ? 10 : 12; // version 1 has a 2-byte length, later versions 4
    npy_header read(zip, m.name, {reinterpret_cast<const char*>(header.data()) + prefix, header.size() - prefix});
    if (read.bytes != m.size - header.size())
        zip.fail_member(m.name, {"has ", m.size - header.size(), " bytes of data; shape ", describe_shape(read.shape), " of ",
                                 to_string(read.type), " needs ", read.bytes});
    return read;
}

PALI_INLINE npz_file::npz_file(const std::filesystem::path& path) : m_file(path) {
    const std::string file = path.string();
    if (is_lfs_pointer({reinterpret_cast<const char*>(m_file.bytes().data()), std::min<std::size_t>(m_file.bytes().size(), 64)}))
        throw error(errc::malformed_file, {file, lfs_pointer_words});
    const zip_members zip(m_file.bytes(), file);
    const auto padded = [](std::uint64_t bytes) { return (bytes + 63) / 64 * 64; };
    std::uint64_t inflated = 0; // cannot overflow, because m.size is at most 1032 times the size of the member in the file
    for (const auto& m : zip.all()) {
        if (!m.deflated) continue;
        inflated += padded(m.size);
        if (inflated > npz_inflated_limit)
            zip.fail_member(m.name, {"has ", m.size, " bytes inflated; deflated arrays of at most ", npz_inflated_limit,
                                     " bytes in total are supported: store larger ones with numpy.savez"});
    }
    m_inflated = page_memory(inflated);
    std::byte* free = m_inflated.bytes().data();

    for (const auto& m : zip.all()) {
        constexpr std::string_view ending = ".npy";
        if (!m.name.ends_with(ending)) zip.fail_member(m.name, "is not an array: its name does not end in .npy", errc::unsupported_format);
        if (m.size < npy_header::prefix) zip.fail_member(m.name, {"has ", m.size, " bytes; an array begins with ", npy_header::prefix});
        const auto header_size = [&](std::span<const std::byte> first) {
            const std::uint64_t size = npy_header::size(zip, m.name, first.first<npy_header::prefix>());
            if (size < npy_header::prefix || size > m.size)
                zip.fail_member(m.name, {"has a header of ", size, " bytes, but ", m.size, " bytes in total"});
            return static_cast<std::size_t>(size);
        };
        const auto check = [&](std::uint32_t crc) {
            if (crc != m.crc) zip.fail_member(m.name, "is damaged: its checksum is wrong; download the file again");
        };

        const auto add = [&](npy_header header, std::span<const std::byte> numbers) {
            std::string name = m.name.substr(0, m.name.size() - ending.size());
            if (!m_tensors.emplace(std::move(name), tensor_info{header.type, std::move(header.shape), numbers, file}).second)
                zip.fail_member(m.name, "occurs twice; names must be unique");
        };
        if (!m.deflated) {
            check(crc32_of(0, m.data));
            const std::span<const std::byte> header = m.data.first(header_size(m.data));
            add(read_npy_header(zip, m, header), m.data.subspan(header.size()));
            continue;
        }
        inflater stream(m.data);
        const auto read = [&](std::span<std::byte> to) {
            if (!stream.read(to))
                zip.fail_member(m.name, {"cannot be inflated to the ", m.size, " bytes given in the directory; download the file again"});
        };
        std::vector<std::byte> header(npy_header::prefix);
        read(header);
        header.resize(header_size(header));
        read(std::span(header).subspan(npy_header::prefix));
        npy_header found = read_npy_header(zip, m, header);
        const std::span<std::byte> numbers(free, m.size - header.size()); // starts on a cache line, whatever the length of the header
        free += padded(m.size);
        read(numbers);
        if (!stream.at_end()) zip.fail_member(m.name, {"inflates to more than the ", m.size, " bytes given in the directory"});
        check(crc32_of(crc32_of(0, header), numbers));
        add(std::move(found), numbers);
    }
}

PALI_INLINE const tensor_info& npz_file::at(std::string_view name) const { return tensor_of(m_tensors, name, m_file.path()); }

}}} // namespace pali::PALI_ABI::files
