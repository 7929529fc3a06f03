// Part of npz.ipp: the directory of a zip archive and zlib's inflate. PKWARE, APPNOTE.TXT 6.3.10, section 4.3.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace files {

/// Reads the central directory of an archive and checks it against the local header of each member.
class zip_members {
public:
    struct member {
        std::string name;
        bool deflated = false;           // false: stored
        std::uint32_t crc = 0;           // of the uncompressed contents
        std::uint64_t size = 0;          // of the uncompressed contents
        std::uint64_t begin = 0;         // file offset of the local header
        std::span<const std::byte> data; // in the file, compressed or stored
        std::uint64_t end = 0;           // file offset past the data
    };

    zip_members(std::span<const std::byte> bytes, std::string file) : m_bytes(bytes), m_file(std::move(file)) { read_directory(); }

    /// All members, by file offset.
    [[nodiscard]] const std::vector<member>& all() const noexcept { return m_members; }

    [[noreturn]] void fail(error_text&& what, errc code = errc::malformed_file) const {
        throw error(code, {m_file, ": ", std::move(what).str()});
    }
    [[noreturn]] void fail_member(std::string_view name, error_text&& what, errc code = errc::malformed_file) const {
        fail({"member ", in_quotes(name), " ", std::move(what).str()}, code);
    }

private:
    static constexpr std::uint32_t local_sign = 0x04034b50, central_sign = 0x02014b50, end_sign = 0x06054b50; // record signatures
    static constexpr std::uint32_t end64_sign = 0x06064b50, locator_sign = 0x07064b50;
    static constexpr std::size_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56, locator_size = 20;
    static constexpr std::uint64_t in_extra_32 = 0xffffffff; // the value is in the zip64 extra field
    static constexpr std::uint64_t most_growth = 1032;       // by deflate: 258 bytes from 2 bits (zlib.net/zlib_tech.html)

    /// Reads a little-endian integer of `size` bytes at `at`, which must lie in the file.
    [[nodiscard]] std::uint64_t number(std::uint64_t at, std::size_t size) const noexcept {
        std::uint64_t value = 0;
        for (std::size_t i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(m_bytes[at + i]);
        return value;
    }
    [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t size) const noexcept {
        return at <= m_bytes.size() && size <= m_bytes.size() - at;
    }
    [[nodiscard]] std::string text(std::uint64_t at, std::size_t size) const {
        return {reinterpret_cast<const char*>(m_bytes.data()) + at, size};
    }

    /// Offset of the end-of-central-directory record; only a comment may follow it.
    [[nodiscard]] std::uint64_t find_end() const {
        const std::size_t last = m_bytes.size() < end_size ? 0 : m_bytes.size() - end_size + 1;
        for (std::size_t at = last; at-- > 0 && last - at <= 65536;)
            if (number(at, 4) == end_sign && at + end_size + number(at + 20, 2) == m_bytes.size()) return at;
        fail("has no directory at its end, so it is not a zip archive: was it downloaded completely?");
    }

    /// Reads 32-bit fields that may refer to the zip64 extra field in the `extra` bytes. Its 64-bit values come in the order of the
    /// references.
    struct wide_fields {
        const zip_members& owner;
        std::string name;
        std::uint64_t at = 0, end = 0;

        wide_fields(const zip_members& members, std::string member, std::uint64_t extra, std::uint64_t extra_size)
            : owner(members), name(std::move(member)) {
            for (std::uint64_t next = extra; next + 4 <= extra + extra_size;) {
                const std::uint64_t id = owner.number(next, 2), size = owner.number(next + 2, 2);
                if (size > extra + extra_size - next - 4) owner.fail_member(name, "has an extra field that exceeds its space");
                if (id == 1) {
                    at = next + 4;
                    end = at + size;
                    return;
                }
                next += 4 + size;
            }
        }
        [[nodiscard]] std::uint64_t operator()(std::uint64_t value) {
            if (value != in_extra_32) return value;
            if (end - at < 8) owner.fail_member(name, "refers to a zip64 field that it does not have");
            at += 8;
            return owner.number(at - 8, 8);
        }
    };

    void read_directory() {
        const std::uint64_t end = find_end();
        std::uint64_t count = number(end + 10, 2), size = number(end + 12, 4), begin = number(end + 16, 4), behind = end;
        if (end >= locator_size && number(end - locator_size, 4) == locator_sign) {
            const std::uint64_t end64 = number(end - locator_size + 8, 8);
            behind = end - locator_size;
            if (!holds(end64, end64_size) || end64 + end64_size > behind || number(end64, 4) != end64_sign)
                fail("has no zip64 record at the declared offset");
            if (number(end64 + 16, 4) != 0 || number(end64 + 20, 4) != 0 || number(end - locator_size + 16, 4) > 1) other_disks();
            count = number(end64 + 32, 8), size = number(end64 + 40, 8), begin = number(end64 + 48, 8);
            behind = end64;
        } else if (number(end + 4, 2) != 0 || number(end + 6, 2) != 0 || number(end + 8, 2) != count) {
            other_disks();
        }
        if (begin > behind || size != behind - begin)
            fail({"declares a directory of ", size, " bytes at byte ", begin, ", which does not end at ", behind,
                  ", where the next record begins: is the file truncated or concatenated with another one?"});
        std::uint64_t at = begin;
        for (std::uint64_t i = 0; i < count; ++i) at = read_member(at, begin, behind);
        if (at != behind) fail({"has ", behind - at, " bytes after the ", count, " members of its directory"});
        std::sort(m_members.begin(), m_members.end(), [](const member& a, const member& b) { return a.begin < b.begin; });
        for (std::size_t i = 1; i < m_members.size(); ++i)
            if (m_members[i].begin < m_members[i - 1].end)
                fail_member(m_members[i].name,
                            {"begins at byte ", m_members[i].begin, ", inside member ", in_quotes(m_members[i - 1].name)});
    }

    [[noreturn]] void other_disks() const { fail("is one part of a split archive; write it as one file", errc::unsupported_format); }

    /// Reads one directory entry and returns the offset of the next.
    [[nodiscard]] std::uint64_t read_member(std::uint64_t at, std::uint64_t directory, std::uint64_t directory_end) {
        if (directory_end - at < central_size || number(at, 4) != central_sign)
            fail({"has no entry at byte ", at, " of its directory, where one is expected"});
        const std::uint64_t flags = number(at + 8, 2), method = number(at + 10, 2);
        const std::uint64_t name_size = number(at + 28, 2), extra_size = number(at + 30, 2);
        const std::uint64_t next = at + central_size + name_size + extra_size + number(at + 32, 2);
        if (next > directory_end) fail({"has an entry at byte ", at, " that exceeds its directory"});
        member m;
        m.name = text(at + central_size, name_size);
        wide_fields wide(*this, m.name, at + central_size + name_size, extra_size);
        m.size = wide(number(at + 24, 4));
        const std::uint64_t packed = wide(number(at + 20, 4)), local = wide(number(at + 42, 4));
        m.crc = static_cast<std::uint32_t>(number(at + 16, 4));
        m.deflated = method == Z_DEFLATED;
        if ((flags & (1u | 1u << 6 | 1u << 13)) != 0)
            fail_member(m.name, "is encrypted; write it without a password", errc::unsupported_format);
        if (method != 0 && !m.deflated)
            fail_member(
                m.name,
                {"is compressed by method ", method, "; only stored (0) and deflated (8), as numpy.savez writes them, are supported"},
                errc::unsupported_format);
        if (number(at + 34, 2) != 0) other_disks();

        if (local > directory || directory - local < local_size || number(local, 4) != local_sign)
            fail_member(m.name, {"does not begin at byte ", local, ", the offset in the directory"});
        const std::uint64_t local_name = number(local + 26, 2), local_extra = number(local + 28, 2);
        const std::uint64_t data = local + local_size + local_name + local_extra;
        if (data > directory || packed > directory - data)
            fail_member(m.name, {"has ", packed, " bytes at byte ", data, ", which overlap the directory at ", directory});
        if (text(local + local_size, local_name) != m.name)
            fail_member(m.name, {"has the name ", in_quotes(text(local + local_size, local_name)), " in its local header"});
        if (number(local + 8, 2) != method || ((number(local + 6, 2) ^ flags) & 1u) != 0)
            fail_member(m.name, "has another packing in its local header than in the directory");
        if ((flags & 1u << 3) == 0) { // otherwise the sizes follow the data, because the writer could not seek back
            wide_fields local_wide(*this, m.name, local + local_size + local_name, local_extra);
            const std::uint64_t size = local_wide(number(local + 22, 4)), packed_there = local_wide(number(local + 18, 4));
            if (size != m.size || packed_there != packed || number(local + 14, 4) != m.crc)
                fail_member(m.name, "has another size or checksum in its local header than in the directory");
        }
        if (m.deflated ? m.size / most_growth > packed : m.size != packed)
            fail_member(m.name, {"has ", m.size, " bytes, which cannot be unpacked from ", packed});
        m.begin = local, m.end = data + packed;
        m.data = m_bytes.subspan(data, packed);
        m_members.push_back(std::move(m));
        return next;
    }

    std::span<const std::byte> m_bytes;
    std::string m_file;
    std::vector<member> m_members;
};

/// Inflates a deflate stream piece by piece.
class inflater {
public:
    /// Throws std::bad_alloc.
    explicit inflater(std::span<const std::byte> packed) : m_packed(packed) {
        if (inflateInit2(&m_stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc(); // negative: raw deflate without zlib header
    }
    ~inflater() { inflateEnd(&m_stream); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    /// Fills `to`. Returns false if the stream ends early or is invalid.
    [[nodiscard]] bool read(std::span<std::byte> to) noexcept {
        constexpr std::size_t most = std::size_t{1} << 30; // zlib counts bytes in 32 bits
        while (!to.empty() && !m_ended) {
            const std::size_t in = std::min(most, m_packed.size()), out = std::min(most, to.size());
            m_stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(m_packed.data())); // zlib does not write to it
            m_stream.next_out = reinterpret_cast<Bytef*>(to.data());
            m_stream.avail_in = static_cast<uInt>(in);
            m_stream.avail_out = static_cast<uInt>(out);
            const int state = inflate(&m_stream, Z_NO_FLUSH);
            m_packed = m_packed.subspan(in - m_stream.avail_in);
            to = to.subspan(out - m_stream.avail_out);
            m_ended = state == Z_STREAM_END;
            if (state != Z_OK && !m_ended) return false;
        }
        return to.empty();
    }

    /// Whether the stream has ended and no input is left after it.
    [[nodiscard]] bool at_end() noexcept {
        std::byte more;
        return !read({&more, 1}) && m_ended && m_packed.empty();
    }

private:
    std::span<const std::byte> m_packed;
    z_stream m_stream{};
    bool m_ended = false;
};

[[nodiscard]] inline std::uint32_t crc32_of(std::uint32_t before, std::span<const std::byte> bytes) noexcept {
    return static_cast<std::uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}}} // namespace pali::PALI_ABI::files
