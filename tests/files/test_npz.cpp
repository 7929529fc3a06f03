// Reading one .npz archive: the contents, and the rejection of malformed archives. Archives are built field by field; two were written by
// numpy.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/npz.hpp>
#include <pali/files/safetensors.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <zlib.h>

#include <cstring>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace {

using pali::errc;

std::string number(std::uint64_t value, std::size_t bytes) {
    std::string out(bytes, '\0');
    std::memcpy(out.data(), &value, bytes);
    return out;
}

/// A .npy array: version, header padded as numpy does, data.
std::string npy(const std::string& dictionary, const std::string& numbers, char version = 1) {
    const std::size_t prefix = version == 1 ? 10 : 12;
    const std::string padding(63 - (prefix + dictionary.size()) % 64, ' ');
    const std::string header = dictionary + padding + '\n';
    return std::string("\x93NUMPY") + version + '\0' + number(header.size(), prefix - 8) + header + numbers;
}
std::string dictionary(const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}
const std::string sixteen(16, '\x3f');
const std::string good = npy(dictionary("'<f4'", "False", "(2, 2)"), sixteen);

std::string deflated(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
    std::string out(text.size() + 1000, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

/// A member. A field that is set replaces the value that matches the contents.
struct member {
    std::string name = "a.npy", contents = good;
    bool deflate = false, zip64 = false; // zip64: sizes and offset of the directory are in its extra field
    std::optional<std::string> data{}, local_name{}, local_extra{}, extra{};
    std::optional<std::uint64_t> crc{}, size{}, packed{}, method{}, local_method{}, offset{}, local_size{}, local_packed{};
    std::uint64_t flags = 0, disk = 0;
};

struct ending {
    std::optional<std::uint64_t> count{}, size{}, begin{};
    std::uint64_t disk = 0;
    bool zip64 = false;
    std::string before{}, between{}, comment{}; // bytes before the first member, and between members and directory
    std::optional<std::uint64_t> end64{};
};

std::string archive(const std::vector<member>& members, const ending& end = {}) {
    std::string out = end.before, directory;
    for (const member& m : members) {
        const std::string data = m.data.value_or(m.deflate ? deflated(m.contents) : m.contents);
        const std::uint64_t crc = m.crc.value_or(crc32_z(0, reinterpret_cast<const Bytef*>(m.contents.data()), m.contents.size()));
        const std::uint64_t size = m.size.value_or(m.contents.size()), packed = m.packed.value_or(data.size()),
                            method = m.method.value_or(m.deflate ? 8 : 0);
        const std::uint64_t offset = m.offset.value_or(out.size());
        const std::string local_name = m.local_name.value_or(m.name);
        // numpy writes a zip64 field in every local header
        const std::string local_extra = m.local_extra.value_or(number(1, 2) + number(16, 2) + number(m.local_size.value_or(size), 8) +
                                                               number(m.local_packed.value_or(packed), 8));
        const bool streamed = (m.flags & 8) != 0;
        out += number(0x04034b50, 4) + number(45, 2) + number(m.flags, 2) + number(m.local_method.value_or(method), 2) + number(0, 4) +
               number(streamed ? 0 : crc, 4) + number(streamed ? 0 : 0xffffffff, 4) + number(streamed ? 0 : 0xffffffff, 4) +
               number(local_name.size(), 2) + number(local_extra.size(), 2) + local_name + local_extra + data;
        if (streamed) out += number(0x08074b50, 4) + number(crc, 4) + number(packed, 4) + number(size, 4);
        const std::string extra = m.extra.value_or(m.zip64 ? number(0x9999, 2) + number(3, 2) + "xyz" + number(1, 2) + number(24, 2) +
                                                                 number(size, 8) + number(packed, 8) + number(offset, 8)
                                                           : "");
        directory += number(0x02014b50, 4) + number(45, 2) + number(45, 2) + number(m.flags, 2) + number(method, 2) + number(0, 4) +
                     number(crc, 4) + number(m.zip64 ? 0xffffffff : packed, 4) + number(m.zip64 ? 0xffffffff : size, 4) +
                     number(m.name.size(), 2) + number(extra.size(), 2) + number(0, 2) + number(m.disk, 2) + number(0, 2) + number(0, 4) +
                     number(m.zip64 ? 0xffffffff : offset, 4) + m.name + extra;
    }
    out += end.between;
    const std::uint64_t begin = end.begin.value_or(out.size()), size = end.size.value_or(directory.size()),
                        count = end.count.value_or(members.size());
    out += directory;
    if (end.zip64) {
        const std::uint64_t end64 = end.end64.value_or(out.size());
        out += number(0x06064b50, 4) + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8) + number(count, 8) + number(count, 8) +
               number(size, 8) + number(begin, 8);
        out += number(0x07064b50, 4) + number(0, 4) + number(end64, 8) + number(1, 4);
        return out + number(0x06054b50, 4) + number(0, 4) + number(0xffff, 2) + number(0xffff, 2) + number(0xffffffff, 4) +
               number(0xffffffff, 4) + number(end.comment.size(), 2) + end.comment;
    }
    return out + number(0x06054b50, 4) + number(end.disk, 2) + number(end.disk, 2) + number(count, 2) + number(count, 2) + number(size, 4) +
           number(begin, 4) + number(end.comment.size(), 2) + end.comment;
}
/// An archive with one stored array with this header, or with these raw bytes.
std::string array(const std::string& header, std::size_t bytes = 16) {
    return archive({{.contents = npy(header, std::string(bytes, '\x3f'))}});
}
std::string raw(const std::string& contents, bool deflate = false) { return archive({{.contents = contents, .deflate = deflate}}); }

struct hostile {
    std::string what, bytes;
    std::vector<std::string> words; // expected in the message
    errc code = errc::malformed_file;
};
std::ostream& operator<<(std::ostream& out, const hostile& h) { return out << h.what; }

const errc unsupported = errc::unsupported_format;
const std::string megabyte(1 << 20, '\0');

const std::vector<hostile> hostile_files{
    // the archive
    {"empty file", "", {"not a zip archive"}},
    {"21 bytes", std::string(21, 'P'), {"not a zip archive"}},
    {"another format", std::string(1000, 'x'), {"not a zip archive", "downloaded completely"}},
    {"cut at the end", archive({{}}).substr(0, archive({{}}).size() - 1), {"not a zip archive"}},
    {"text behind", archive({{}}) + "x", {"not a zip archive"}},
    {"bytes before", "#!/bin/sh\n" + archive({{}}), {"declares a directory of", "concatenated"}},
    {"directory behind the end", archive({{}}, {.begin = 100000}), {"declares a directory of", "100000"}},
    {"directory that wraps", archive({{}}, {.size = 0xfffffff0, .begin = 0xfffffff0}), {"declares a directory of"}},
    {"directory too short", archive({{}}, {.size = 10}), {"declares a directory of"}},
    {"more members than there are", archive({{}}, {.count = 2}), {"no entry at byte"}},
    {"fewer members than there are", archive({{}, {.name = "b.npy"}}, {.count = 1}), {"after the 1 members"}},
    {"more members than any file", archive({{}}, {.count = ~std::uint64_t{0}, .zip64 = true}), {"no entry at byte"}},
    {"zip64 record elsewhere", archive({{}}, {.zip64 = true, .end64 = 5}), {"no zip64 record"}},
    {"zip64 record behind the file", archive({{}}, {.zip64 = true, .end64 = ~std::uint64_t{0} - 3}), {"no zip64 record"}},
    {"zip64 directory that wraps", archive({{}}, {.size = ~std::uint64_t{0}, .begin = 2, .zip64 = true}), {"declares a directory of"}},
    {"several disks", archive({{}}, {.disk = 1}), {"split archive"}, unsupported},
    {"member on another disk", archive({{.disk = 3}}), {"split archive"}, unsupported},
    // members
    {"encrypted", archive({{.flags = 1}}), {"member 'a.npy'", "encrypted"}, unsupported},
    {"strongly encrypted", archive({{.flags = 65}}), {"encrypted"}, unsupported},
    {"another compression", archive({{.method = 14}}), {"member 'a.npy'", "method 14", "savez"}, unsupported},
    {"twice", archive({{}, {}}), {"member 'a.npy'", "occurs twice"}},
    {"two that share bytes", archive({{}, {.name = "a.npy", .offset = 0}}), {"inside member 'a.npy'"}},
    {"one inside another",
     archive({{.contents = archive({{.name = "b.npy"}})}, {.name = "b.npy", .offset = 30 + 5 + 20}}),
     {"member 'b.npy'", "inside member 'a.npy'"}},
    {"begins behind the directory", archive({{.offset = 100000}}), {"member 'a.npy'", "byte 100000"}},
    {"begins elsewhere", archive({{.offset = 1}}), {"member 'a.npy'", "byte 1,"}},
    {"offset that wraps", archive({{.zip64 = true, .offset = ~std::uint64_t{0} - 10}}), {"does not begin"}},
    {"another name where it lies", archive({{.local_name = "b.npy"}}), {"member 'a.npy'", "has the name 'b.npy'"}},
    {"longer name where it lies", archive({{.local_name = std::string(60000, 'a')}}), {"has the name 'aaa"}},
    {"another method where it lies", archive({{.local_method = 8}}), {"another packing"}},
    {"another size where it lies", archive({{.local_size = 145}}), {"another size or checksum"}},
    {"another packed size where it lies", archive({{.local_packed = 145}}), {"another size or checksum"}},
    {"no zip64 field where it lies", archive({{.local_extra = ""}}), {"zip64 field that it does not have"}},
    {"short zip64 field", archive({{.local_extra = number(1, 2) + number(8, 2) + number(144, 8)}}), {"zip64 field that it does not have"}},
    {"extra field that reaches out", archive({{.local_extra = number(1, 2) + number(100, 2)}}), {"exceeds its space"}},
    {"no zip64 field in the directory", archive({{.zip64 = true, .extra = ""}}), {"zip64 field that it does not have"}},
    {"data that reach into the directory",
     archive({{.size = 200, .packed = 200}}),
     {"member 'a.npy'", "200 bytes", "overlap the directory"}},
    {"packed size that wraps",
     archive({{.zip64 = true, .size = ~std::uint64_t{0}, .packed = ~std::uint64_t{0}}}),
     {"overlap the directory"}},
    {"stored, of another size", archive({{.size = 145}}), {"145 bytes", "cannot be unpacked from 144"}},
    {"checksum", archive({{.crc = 7}}), {"member 'a.npy'", "damaged"}},
    {"checksum of a deflated one", archive({{.deflate = true, .crc = 7}}), {"member 'a.npy'", "damaged"}},
    {"name like a terminal's command", archive({{.name = "\x1b[2J.npy", .crc = 7}}), {"'\\x1b[2J.npy'"}},
    {"no array by its name", archive({{.name = "a.txt"}}), {"member 'a.txt'", "does not end in .npy"}, unsupported},
    {"folder", archive({{.name = "a/", .contents = ""}}), {"member 'a/'", "does not end in .npy"}, unsupported},
    // deflate
    {"no deflate stream", archive({{.deflate = true, .data = std::string(100, '\xff')}}), {"cannot be inflated"}},
    {"empty stream", archive({{.deflate = true, .data = ""}}), {"cannot be inflated"}},
    {"cut stream", archive({{.deflate = true, .data = deflated(good).substr(0, 20)}}), {"cannot be inflated to the 144 bytes"}},
    {"stream shorter than it says",
     archive({{.deflate = true, .data = deflated(good.substr(0, 140))}}),
     {"cannot be inflated to the 144 bytes"}},
    {"stream longer than it says", archive({{.deflate = true, .data = deflated(good + "x")}}), {"more than the 144 bytes"}},
    {"bytes behind the stream", archive({{.deflate = true, .data = deflated(good) + "x"}}), {"more than the 144 bytes"}},
    {"growth that deflate has not",
     archive({{.deflate = true, .zip64 = true, .size = std::uint64_t{1} << 50}}),
     {"cannot be unpacked from"}},
    {"claim of 500 million elements",
     archive({{.deflate = true, .zip64 = true, .data = std::string(2'000'000, 'x'), .size = std::uint64_t{2'000'000'000}}}),
     {"has 2000000000 bytes inflated", "numpy.savez"}},
    {"claims that are too much together",
     archive({{.deflate = true, .data = std::string(200'000, 'x'), .size = std::uint64_t{1} << 27},
              {.name = "b.npy", .deflate = true, .data = std::string(200'000, 'x'), .size = (std::uint64_t{1} << 27) + 1}}),
     {"'b.npy' has 134217729 bytes inflated"}},
    {"bomb", raw(good + megabyte, true), {"1048592 bytes of data", "(2, 2) of F32 needs 16"}},
    {"shape beyond the bomb",
     raw(npy(dictionary("'<f4'", "False", "(1000000000000,)"), megabyte), true),
     {"1048576 bytes of data", "needs 4000000000000"}},
    // arrays
    {"empty member", raw(""), {"0 bytes", "begins with 12"}},
    {"eleven bytes", raw(good.substr(0, 11)), {"11 bytes"}},
    {"no array", raw(std::string(100, 'x')), {"not a .npy array"}},
    {"deflated, no array", raw(std::string(100, 'x'), true), {"not a .npy array"}},
    {"version 4", raw("\x93NUMPY\x04" + good.substr(7)), {"version 4.0"}, unsupported},
    {"version 1.1", raw("\x93NUMPY\x01\x01" + good.substr(8)), {"version 1.1"}, unsupported},
    {"header longer than the member", raw(good.substr(0, 8) + "\xff\x00" + good.substr(10)), {"header of"}},
    {"header of gigabytes",
     raw(npy(dictionary("'<f4'", "False", "(2, 2)"), sixteen, 2).replace(8, 4, "\xff\xff\xff\xff")),
     {"4294967295 bytes", "at most 65536"}},
    {"no dictionary", array("[1, 2]"), {"lacks the '{'"}},
    {"dictionary that does not end", array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)"), {"lacks the '}'"}},
    {"empty dictionary", array("{}"), {"lacks descr"}},
    {"no shape", array("{'descr': '<f4', 'fortran_order': False}"), {"lacks"}},
    {"descr twice", array("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}"), {"'descr' twice"}},
    {"another key", array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), 'order': 1}"), {"key 'order'"}},
    {"key without quotes", array("{descr: '<f4'}"), {"a key in quotes"}},
    {"text behind the dictionary", array(dictionary("'<f4'", "False", "(2, 2)") + " x"), {"text after"}},
    {"string that does not end", array("{'descr': '<f4"), {"a type in quotes"}},
    {"Fortran order", array(dictionary("'<f4'", "True", "(2, 2)")), {"member 'a.npy'", "Fortran order", "ascontiguousarray"}, unsupported},
    {"order is a number", array(dictionary("'<f4'", "0", "(2, 2)")), {"fortran_order"}},
    {"big-endian", array(dictionary("'>f4'", "False", "(2, 2)")), {"big-endian ('>f4')", "astype('<f4')"}, unsupported},
    {"records", array(dictionary("[('x', '<f4')]", "False", "(4,)")), {"structured array"}, unsupported},
    {"text", array(dictionary("'<U4'", "False", "(1,)")), {"has elements of type '<U4'", "<f4"}, unsupported},
    {"Python objects", array(dictionary("'|O'", "False", "(2,)")), {"has elements of type '|O'"}, unsupported},
    {"complex128", array(dictionary("'<c16'", "False", "(1,)")), {"has elements of type '<c16'"}, unsupported},
    {"descr is a number", array(dictionary("4", "False", "(2, 2)")), {"a type in quotes"}},
    {"shape is a number", array(dictionary("'<f4'", "False", "4")), {"lacks the '('"}},
    {"shape in brackets", array(dictionary("'<f4'", "False", "(4)")), {"a tuple is needed"}},
    {"shape without commas", array(dictionary("'<f4'", "False", "(2 2)")), {"without a comma"}},
    {"negative side", array(dictionary("'<f4'", "False", "(-4,)")), {"integer of 0 or more"}},
    {"fractional side", array(dictionary("'<f4'", "False", "(4.0,)")), {"without a comma"}},
    {"no side", array(dictionary("'<f4'", "False", "(,)")), {"integer of 0 or more"}},
    {"side over 64 bits", array(dictionary("'<f4'", "False", "(18446744073709551616,)")), {"64 bits"}},
    {"shape that overflows", array(dictionary("'<f4'", "False", "(4294967296, 4294967296)")), {"(4294967296, 4294967296)", "64 bits"}},
    {"bytes that overflow to 16", array(dictionary("'<f4'", "False", "(4611686018427387908,)")), {"64 bits"}},
    {"overflow behind a zero", array(dictionary("'<f4'", "False", "(0, 4294967296, 4294967296)"), 0), {"64 bits"}},
    {"33 dimensions",
     array(dictionary(
         "'<f4'", "False",
         "(4" +
             [] {
                 std::string s;
                 for (int i = 0; i < 32; ++i) s += ",1";
                 return s;
             }() +
             ")")),
     {"more than 32 dimensions"}},
    {"too few numbers", array(dictionary("'<f4'", "False", "(2, 2)"), 15), {"15 bytes of data", "(2, 2) of F32 needs 16"}},
    {"too many numbers", array(dictionary("'<f4'", "False", "(2, 2)"), 20), {"20 bytes of data"}},
};

void must_hold(const std::string& bytes, const std::vector<std::size_t>& shape) {
    const pali::test::temporary_folder folder;
    const pali::files::npz_file opened(folder.write("sound.npz", bytes));
    const pali::files::tensor_info& t = opened.at("a");
    BOOST_TEST(t.shape == shape, boost::test_tools::per_element());
    BOOST_TEST((t.type == pali::files::dtype::f32));
    BOOST_TEST((std::string(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size()) == std::string(t.count() * 4, '\x3f')));
}

} // namespace

BOOST_AUTO_TEST_SUITE(npz)

BOOST_DATA_TEST_CASE(hostile_files_are_refused_with_the_reason, boost::unit_test::data::make(hostile_files), one) {
    const pali::test::temporary_folder folder;
    const auto path = folder.write("hostile.npz", one.bytes);
    try {
        const pali::files::npz_file opened(path);
        BOOST_ERROR("was read");
    } catch (const pali::error& e) {
        BOOST_TEST(static_cast<int>(e.code()) == static_cast<int>(one.code));
        BOOST_TEST(std::string(e.what()).find(path.string()) != std::string::npos);
        for (const std::string& word : one.words) {
            BOOST_TEST_INFO("looking for: " << word << "\nin: " << e.what());
            BOOST_TEST((std::string(e.what()).find(word) != std::string::npos));
        }
    }
}

BOOST_AUTO_TEST_CASE(what_the_formats_allow_is_read) {
    must_hold(archive({{}}), {2, 2});
    must_hold(archive({{.deflate = true}}), {2, 2});
    must_hold(archive({{.zip64 = true}}, {.zip64 = true}), {2, 2});
    must_hold(archive({{.deflate = true, .zip64 = true}, {.name = "b.npy", .zip64 = true}}), {2, 2});
    must_hold(archive({{.local_extra = "", .flags = 8}}), {2, 2}); // written to a pipe: the sizes follow the data
    must_hold(archive({{.deflate = true, .local_extra = "", .flags = 8}}), {2, 2});
    must_hold(archive({{}}, {.comment = "PK\x05\x06 a comment"}), {2, 2});
    must_hold(archive({{}}, {.comment = std::string(65535, 'c')}), {2, 2});
    must_hold(archive({{}}, {.before = "padding"}), {2, 2}); // offsets include the padding
    must_hold(archive({{}}, {.between = "padding"}), {2, 2});
    for (const char version : {'\1', '\2', '\3'}) must_hold(raw(npy(dictionary("'<f4'", "False", "(2, 2)"), sixteen, version)), {2, 2});
    must_hold(array("{\"shape\":(4,),\"fortran_order\":False,\"descr\":\"<f4\"}"), {4});
    must_hold(array(dictionary("'<f4'", "False", "(2, 2,)")), {2, 2});
    must_hold(array(dictionary("'<f4'", "False", "()"), 4), {});
    must_hold(array(dictionary("'<f4'", "False", "(3, 0)"), 0), {3, 0});
    must_hold(raw(npy(dictionary("'<f4'", "False", "(5000000,)"), std::string(20'000'000, '\x3f')), true),
              {5000000}); // compresses to a thousandth
    const pali::test::temporary_folder folder;
    BOOST_TEST(pali::files::npz_file(folder.write("empty.npz", archive({}))).tensors().empty()); // numpy.savez without arrays
}

// With any truncation and with any byte changed, a small valid file is read within bounds or rejected.
BOOST_AUTO_TEST_CASE(damaged_files_are_read_within_bounds_or_refused) {
    const pali::test::temporary_folder folder;
    const std::string whole = archive({{}, {.name = "b.npy", .deflate = true, .zip64 = true}}, {.zip64 = true});
    std::size_t refused = 0, read = 0;
    const auto attempt = [&](const std::string& bytes) {
        const auto path = folder.write("damaged.npz", bytes);
        try {
            const pali::files::npz_file opened(path);
            ++read;
            for (const auto& [name, t] : opened.tensors()) {
                BOOST_REQUIRE(t.count() * pali::files::bits_of(t.type) == t.bytes.size() * 8);
                unsigned sum = 0;
                for (const std::byte b : t.bytes) sum += std::to_integer<unsigned>(b);
                BOOST_REQUIRE(sum == 16u * 0x3f); // the checksum guarantees that the contents are unchanged
            }
        } catch (const pali::error& e) {
            BOOST_REQUIRE((e.code() == errc::malformed_file || e.code() == errc::unsupported_format));
            ++refused;
        }
    };
    for (std::size_t n = 0; n < whole.size(); ++n) attempt(whole.substr(0, n));
    BOOST_TEST(refused == whole.size()); // no truncation is valid
    for (std::size_t i = 0; i < whole.size(); ++i)
        for (const int change : {1, 2, 8, 64, 128, 255}) {
            std::string changed = whole;
            changed[i] = static_cast<char>(changed[i] ^ change);
            attempt(changed);
        }
    BOOST_TEST(read > 100u); // changes in dates, versions and attributes are valid
    BOOST_TEST(refused > 2000u);
}

BOOST_AUTO_TEST_CASE(every_type_is_read_as_numpy_wrote_it) {
    const pali::files::npz_file stored(pali::test::data_path("files/stored.npz")),
        deflated_too(pali::test::data_path("files/deflated.npz"));
    const pali::files::safetensors_file same(pali::test::data_path("files/every_dtype.safetensors"));
    BOOST_TEST(stored.tensors().size() == 18u);
    BOOST_TEST(deflated_too.tensors().size() == 18u);
    std::size_t compared = 0;
    for (const auto& [name, t] : stored.tensors()) BOOST_TEST_CONTEXT(name) {
            const auto all = stored.file().bytes();
            BOOST_TEST((t.bytes.data() >= all.data() && t.bytes.data() + t.bytes.size() <= all.data() + all.size())); // in place
            const pali::files::tensor_info& inflated = deflated_too.at(name);
            BOOST_TEST(inflated.is_aligned());
            BOOST_TEST((inflated.type == t.type));
            BOOST_TEST(inflated.shape == t.shape, boost::test_tools::per_element());
            BOOST_TEST((std::equal(t.bytes.begin(), t.bytes.end(), inflated.bytes.begin(), inflated.bytes.end())));
            const auto found = same.tensors().find(name);
            if (found == same.tensors().end()) continue;
            ++compared;
            BOOST_TEST((found->second.type == t.type));
            BOOST_TEST(found->second.shape == t.shape, boost::test_tools::per_element());
            BOOST_TEST((std::equal(t.bytes.begin(), t.bytes.end(), found->second.bytes.begin(), found->second.bytes.end())));
        }
    BOOST_TEST(compared == 15u);
    const auto numbers = deflated_too.at("long").as<float>();
    BOOST_TEST((numbers.size() == 3000 && numbers[2999] == 2999 % 17));
    BOOST_TEST(stored.at("a number").shape.empty());
}

BOOST_AUTO_TEST_CASE(tensors_stay_where_they_are_when_the_file_is_moved) {
    pali::files::npz_file first(pali::test::data_path("files/deflated.npz"));
    const auto* const before = first.at("long").bytes.data();
    const pali::files::npz_file second(std::move(first));
    BOOST_TEST((second.at("long").bytes.data() == before));
    BOOST_TEST(second.at("long").as<float>()[18] == 1.f);
}

BOOST_AUTO_TEST_CASE(a_name_that_is_not_there) {
    const pali::files::npz_file opened(pali::test::data_path("files/stored.npz"));
    try {
        (void)opened.at("long.npy");
        BOOST_ERROR("was found");
    } catch (const pali::error& e) {
        BOOST_TEST((e.code() == errc::checkpoint_mismatch));
        BOOST_TEST(std::string(e.what()).find("stored.npz: has no tensor 'long.npy' among its 18") != std::string::npos);
    }
    BOOST_CHECK_EXCEPTION(pali::files::npz_file("no such.npz"), pali::error,
                          [](const pali::error& e) { return e.code() == errc::cannot_open; });
}

BOOST_AUTO_TEST_SUITE_END()
