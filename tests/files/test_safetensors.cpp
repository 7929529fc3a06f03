// Reading one safetensors file: the contents, and the rejection of malformed files.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <pali/core/bfloat16.hpp>
#include <pali/core/error.hpp>
#include <pali/files/safetensors.hpp>
#include <support/data.hpp>
#include <support/golden.hpp>
#include <support/temporary_folder.hpp>

#include <cstring>
#include <fstream>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace {

using pali::errc;

std::string with_length(std::uint64_t length, const std::string& rest) {
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, 8);
    return out + rest;
}
std::string file(const std::string& header, std::size_t data_bytes) {
    return with_length(header.size(), header + std::string(data_bytes, '\x3f'));
}

// A tensor entry of four floats, assembled from the parts that a test changes.
std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
const std::string good = tensor(R"("F32")", "[2,2]", "[0,16]");

struct malformed {
    std::string what, bytes;
    std::vector<std::string> words; // expected in the message
};
std::ostream& operator<<(std::ostream& out, const malformed& m) { return out << m.what; }

const std::vector<malformed> malformed_files{
    {"empty file", "", {"0 bytes", "8"}},
    {"seven bytes", std::string(7, 'x'), {"7 bytes"}},
    {"length without header", with_length(2, ""), {"2 bytes", "only 0 follow"}},
    {"no length", with_length(0, ""), {"must begin with '{'"}},
    {"header longer than the file", with_length(1000, "{}"), {"1000 bytes", "only 2 follow", "downloaded completely"}},
    {"header longer than the limit", with_length(100'000'001, "{}"), {"100000001 bytes", "at most 100000000"}},
    {"length of all ones", with_length(~std::uint64_t{0}, "{}"), {"18446744073709551615 bytes"}},
    {"length that wraps", with_length(~std::uint64_t{0} - 7, "{}"), {"18446744073709551608 bytes"}},
    {"another format", std::string("GGUF\3\0\0\0 and what follows", 24), {"is it a safetensors file?"}},
    {"list", file("[1]", 0), {"must begin with '{'"}},
    {"leading space", file(" {}", 0), {"must begin with '{'"}},
    {"byte order mark", file("\xef\xbb\xbf{}", 0), {"must begin with '{'"}},
    {"cut JSON", file(R"({"a":{"dtype")", 16), {"not valid JSON", "byte 14"}},
    {"text behind", file("{} x", 0), {"not valid JSON", "byte 4"}},
    {"second object behind", file("{}{}", 0), {"not valid JSON"}},
    {"zero byte behind", file(std::string("{}\0{}", 5), 0), {"zero byte"}},
    {"comment", file("{/* */}", 0), {"not valid JSON"}},
    {"trailing comma", file(R"({"a":)" + good + ",}", 16), {"not valid JSON"}},
    {"no UTF-8", file("{\"a\xff\":" + good + "}", 16), {"not valid JSON"}},
    {"unpaired surrogate", file(R"({"a\ud800":)" + good + "}", 16), {"not valid JSON"}},
    {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})", 0), {"'__metadata__' twice"}},
    {"dtype twice", file(R"({"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 16), {"tensor 'a' has dtype twice"}},
    {"shape twice", file(R"({"a":{"dtype":"F32","shape":[4],"shape":[2],"data_offsets":[0,16]}})", 16), {"tensor 'a' has shape twice"}},
    {"offsets twice",
     file(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"data_offsets":[0,16]}})", 16),
     {"tensor 'a' has data_offsets twice"}},
    {"metadata of numbers", file(R"({"__metadata__":{"a":1}})", 0), {"'__metadata__' has 1 at 'a'", "strings"}},
    {"metadata of objects", file(R"({"__metadata__":{"a":{}}})", 0), {"'__metadata__' has {} at 'a'"}},
    {"metadata is a string", file(R"({"__metadata__":"pt"})", 0), {"'__metadata__' is \"pt\"", "an object"}},
    {"tensor is a list", file(R"({"a":[]})", 0), {"tensor 'a' is []", "an object"}},
    {"tensor is null", file(R"({"a":null})", 0), {"'a' is null"}},
    {"unknown dtype", file(R"({"a":)" + tensor(R"("F33")", "[4]", "[0,16]") + "}", 16), {"tensor 'a'", "dtype 'F33'", "BF16", "F8_E4M3"}},
    {"dtype in lower case", file(R"({"a":)" + tensor(R"("f32")", "[4]", "[0,16]") + "}", 16), {"dtype 'f32'"}},
    {"dtype is a number", file(R"({"a":)" + tensor("32", "[4]", "[0,16]") + "}", 16), {"tensor 'a' has dtype 32", "a string"}},
    {"no dtype", file(R"({"a":{"shape":[4],"data_offsets":[0,16]}})", 16), {"tensor 'a' has no dtype"}},
    {"no shape", file(R"({"a":{"dtype":"F32","data_offsets":[0,16]}})", 16), {"tensor 'a' has no shape"}},
    {"no offsets", file(R"({"a":{"dtype":"F32","shape":[4]}})", 16), {"tensor 'a' has no data_offsets"}},
    {"negative side",
     file(R"({"a":)" + tensor(R"("F32")", "[-4]", "[0,16]") + "}", 16),
     {"tensor 'a' has shape [-4]", "integers of 0 or more"}},
    {"fractional side", file(R"({"a":)" + tensor(R"("F32")", "[4.0]", "[0,16]") + "}", 16), {"shape [4.0]", "integers of 0 or more"}},
    {"side over 64 bits",
     file(R"({"a":)" + tensor(R"("F32")", "[18446744073709551616]", "[0,16]") + "}", 16),
     {"shape [1.8446744073709552e+19]", "integers of 0 or more"}},
    {"number over double", file(R"({"a":)" + tensor(R"("F32")", "[1e999]", "[0,16]") + "}", 16), {"not valid JSON"}},
    {"nested shape", file(R"({"a":)" + tensor(R"("F32")", "[[4]]", "[0,16]") + "}", 16), {"shape [[4]]"}},
    {"shape is a number", file(R"({"a":)" + tensor(R"("F32")", "4", "[0,16]") + "}", 16), {"shape 4;", "an array"}},
    {"boolean side", file(R"({"a":)" + tensor(R"("F32")", "[true]", "[0,16]") + "}", 16), {"shape [true]"}},
    {"string side", file(R"({"a":)" + tensor(R"("F32")", R"(["4"])", "[0,16]") + "}", 16), {"shape [\"4\"]"}},
    {"33 dimensions",
     file(R"({"a":)" +
              tensor(
                  R"("F32")",
                  "[4" +
                      [] {
                          std::string s;
                          for (int i = 0; i < 32; ++i) s += ",1";
                          return s;
                      }() +
                      "]",
                  "[0,16]") +
              "}",
          16),
     {"more than 32 dimensions"}},
    {"deep nesting", file(R"({"a":)" + std::string(100000, '[') + "}", 0), {"nested more than 64 deep"}},
    {"shape that overflows",
     file(R"({"a":)" + tensor(R"("F32")", "[4294967296,4294967296]", "[0,16]") + "}", 16),
     {"tensor 'a'", "(4294967296, 4294967296)", "64 bits"}},
    {"bytes that overflow to 16",
     file(R"({"a":)" + tensor(R"("F32")", "[4611686018427387908]", "[0,16]") + "}", 16),
     {"(4611686018427387908)", "64 bits"}},
    {"overflow behind a zero", file(R"({"a":)" + tensor(R"("F32")", "[0,4294967296,4294967296]", "[0,0]") + "}", 0), {"64 bits"}},
    {"one offset", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[16]") + "}", 16), {"1 data_offsets", "[begin, end]"}},
    {"three offsets", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[0,16,32]") + "}", 16), {"3 data_offsets", "[begin, end]"}},
    {"no offset", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[]") + "}", 16), {"0 data_offsets"}},
    {"negative offset", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[-16,0]") + "}", 16), {"data_offsets [-16,0]"}},
    {"offset is null", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[null,16]") + "}", 16), {"data_offsets [null,16]"}},
    {"offsets the wrong way round",
     file(R"({"a":)" + tensor(R"("F32")", "[4]", "[16,0]") + "}", 16),
     {"tensor 'a'", "[16, 0]", "end before they begin"}},
    {"end behind the data",
     file(R"({"a":)" + tensor(R"("F32")", "[4]", "[0,16]") + "}", 15),
     {"tensor 'a'", "[0, 16]", "15 bytes of data"}},
    {"begin and end behind the data",
     file(R"({"a":)" + tensor(R"("F32")", "[4]", "[18446744073709551599,18446744073709551615]") + "}", 16),
     {"tensor 'a'", "16 bytes of data"}},
    {"bytes do not fit the shape",
     file(R"({"a":)" + tensor(R"("F32")", "[3]", "[0,16]") + "}", 16),
     {"tensor 'a'", "16 bytes", "(3) of F32 needs 12"}},
    {"bytes do not fit the dtype", file(R"({"a":)" + tensor(R"("BF16")", "[2,2]", "[0,16]") + "}", 16), {"(2, 2) of BF16 needs 8"}},
    {"half a byte", file(R"({"a":)" + tensor(R"("F4")", "[3]", "[0,1]") + "}", 1), {"not a whole number of bytes"}},
    {"overlap",
     file(R"({"a":)" + good + R"(,"b":)" + tensor(R"("F32")", "[4]", "[8,24]") + "}", 24),
     {"tensor 'b'", "[8, 24]", "overlap tensor 'a'", "16"}},
    {"the same bytes", file(R"({"a":)" + good + R"(,"b":)" + good + "}", 16), {"tensor 'b'", "overlap tensor 'a'"}},
    {"one inside another",
     file(R"({"a":)" + tensor(R"("F32")", "[8]", "[0,32]") + R"(,"b":)" + tensor(R"("F32")", "[1]", "[4,8]") + "}", 32),
     {"tensor 'b'", "overlap tensor 'a'"}},
    {"empty tensor inside another",
     file(R"({"a":)" + good + R"(,"b":)" + tensor(R"("F32")", "[0]", "[8,8]") + "}", 16),
     {"tensor 'b'", "overlap tensor 'a'"}},
    {"hole at the begin", file(R"({"a":)" + tensor(R"("F32")", "[4]", "[4,20]") + "}", 20), {"tensor 'a'", "a gap", "0"}},
    {"hole between", file(R"({"b":)" + tensor(R"("F32")", "[1]", "[20,24]") + R"(,"a":)" + good + "}", 24), {"tensor 'b'", "a gap", "16"}},
    {"bytes behind the last", file(R"({"a":)" + good + "}", 17), {"17 bytes of data", "cover 16"}},
    {"data without tensors", file("{}", 3), {"3 bytes of data", "cover 0"}},
};

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors)

BOOST_DATA_TEST_CASE(malformed_files_are_refused_with_the_reason, boost::unit_test::data::make(malformed_files), one) {
    const pali::test::temporary_folder folder;
    const auto path = folder.write("hostile.safetensors", one.bytes);
    try {
        const pali::files::safetensors_file opened(path);
        BOOST_ERROR("was read");
    } catch (const pali::error& e) {
        BOOST_TEST(static_cast<int>(e.code()) == static_cast<int>(errc::malformed_file));
        BOOST_TEST(std::string(e.what()).find(path.string()) != std::string::npos);
        for (const std::string& word : one.words) {
            BOOST_TEST_INFO("looking for: " << word << "\nin: " << e.what());
            BOOST_TEST((std::string(e.what()).find(word) != std::string::npos));
        }
    }
}

// With any truncation and with any byte changed, a small valid file is read within bounds or rejected.
BOOST_AUTO_TEST_CASE(damaged_files_are_read_within_bounds_or_refused) {
    const pali::test::temporary_folder folder;
    const std::string whole =
        file(R"({"__metadata__":{"k":"v"},"a":)" + good + R"(,"b":)" + tensor(R"("BF16")", "[1,2]", "[16,20]") + "}", 20);
    std::size_t refused = 0, read = 0;
    const auto attempt = [&](const std::string& bytes) {
        const auto path = folder.write("damaged.safetensors", bytes);
        try {
            const pali::files::safetensors_file opened(path);
            ++read;
            const auto all = opened.file().bytes();
            for (const auto& [name, t] : opened.tensors()) {
                BOOST_REQUIRE(t.bytes.data() >= all.data() && t.bytes.data() + t.bytes.size() <= all.data() + all.size());
                BOOST_REQUIRE(t.count() * pali::files::bits_of(t.type) == t.bytes.size() * 8);
            }
        } catch (const pali::error& e) {
            BOOST_REQUIRE(e.code() == errc::malformed_file);
            ++refused;
        }
    };
    for (std::size_t n = 0; n < whole.size(); ++n) attempt(whole.substr(0, n));
    BOOST_TEST(refused == whole.size()); // no truncation is valid
    for (std::size_t i = 0; i < whole.size(); ++i)
        for (const char c : {'\0', '\1', '"', '0', '9', '}', ']', ',', '\x7f', '\xff'}) {
            std::string changed = whole;
            changed[i] = c;
            attempt(changed);
        }
    BOOST_TEST(read > 100u); // changes in data and names are valid
    BOOST_TEST(refused > 1000u);
}

BOOST_AUTO_TEST_CASE(every_dtype_is_read_as_the_package_wrote_it) {
    const pali::files::safetensors_file opened(pali::test::data_path("files/every_dtype.safetensors"));
    BOOST_TEST(opened.tensors().size() == 22u);
    BOOST_TEST(opened.metadata().at("format") == "pt");
    const std::vector<std::size_t> shape{2, 3};
    const std::vector<std::pair<std::string, pali::files::dtype>> types{{"bool", pali::files::dtype::boolean},
                                                                        {"uint8", pali::files::dtype::u8},
                                                                        {"int8", pali::files::dtype::i8},
                                                                        {"float8_e5m2", pali::files::dtype::f8_e5m2},
                                                                        {"float8_e4m3fn", pali::files::dtype::f8_e4m3},
                                                                        {"float8_e8m0fnu", pali::files::dtype::f8_e8m0},
                                                                        {"float8_e4m3fnuz", pali::files::dtype::f8_e4m3fnuz},
                                                                        {"float8_e5m2fnuz", pali::files::dtype::f8_e5m2fnuz},
                                                                        {"int16", pali::files::dtype::i16},
                                                                        {"uint16", pali::files::dtype::u16},
                                                                        {"float16", pali::files::dtype::f16},
                                                                        {"bfloat16", pali::files::dtype::bf16},
                                                                        {"int32", pali::files::dtype::i32},
                                                                        {"uint32", pali::files::dtype::u32},
                                                                        {"float32", pali::files::dtype::f32},
                                                                        {"complex64", pali::files::dtype::c64},
                                                                        {"float64", pali::files::dtype::f64},
                                                                        {"int64", pali::files::dtype::i64},
                                                                        {"uint64", pali::files::dtype::u64}};
    for (const auto& [name, type] : types) BOOST_TEST_CONTEXT(name) {
            const pali::files::tensor_info& t = opened.at("of." + name);
            BOOST_TEST((t.type == type));
            BOOST_TEST(t.shape == shape, boost::test_tools::per_element());
            BOOST_TEST(t.count() == 6u);
            BOOST_TEST(t.bytes.size() == 6 * pali::files::size_of(type));
            BOOST_TEST(t.is_aligned());
            BOOST_TEST((t.bytes.data() >= opened.file().bytes().data() &&
                        t.bytes.data() < opened.file().bytes().data() + opened.file().bytes().size()));
        }
    const pali::test::golden g(pali::test::data_path("files/every_dtype.safetensors"));
    const std::vector<float> values{0, 1, 2, 3, 4, 6};
    const std::vector<std::int64_t> integers{0, 1, 2, 3, 4, 6};
    for (const char* name : {"of.float16", "of.bfloat16", "of.float32", "of.float64"})
        BOOST_TEST(g.floats(name) == values, boost::test_tools::per_element());
    for (const char* name : {"of.int32", "of.int64", "of.uint8"}) BOOST_TEST(g.ints(name) == integers, boost::test_tools::per_element());
    BOOST_TEST(opened.at("of.float32").as<float>()[5] == 6);
    BOOST_TEST(static_cast<float>(opened.at("of.bfloat16").as<pali::core::bfloat16>()[4]) == 4);
    BOOST_TEST(opened.at("a scalar").shape.empty());
    BOOST_TEST(opened.at("a scalar").count() == 1u);
    BOOST_TEST(g.floats("a scalar")[0] == -2.5f);
    BOOST_TEST(opened.at("empty").count() == 0u);
    BOOST_TEST(opened.at("empty").bytes.empty());
    BOOST_TEST(opened.tensors().contains("quotes \" and \\ and \u00fc"));
}

BOOST_AUTO_TEST_CASE(names_of_dtypes_go_both_ways) {
    for (int i = 0; i <= static_cast<int>(pali::files::dtype::u64); ++i) {
        const auto type = static_cast<pali::files::dtype>(i);
        BOOST_TEST((pali::files::find_dtype(to_string(type)) == type));
    }
    BOOST_TEST(!pali::files::find_dtype("").has_value());
}

BOOST_AUTO_TEST_CASE(an_empty_table_is_valid) {
    const pali::test::temporary_folder folder;
    BOOST_TEST(pali::files::safetensors_file(folder.write("a", file("{}", 0))).tensors().empty());
    BOOST_TEST(pali::files::safetensors_file(folder.write("b", file("{}      ", 0))).tensors().empty()); // padding
    BOOST_TEST(pali::files::safetensors_file(folder.write("c", file(R"({"e":)" + tensor(R"("F32")", "[0,5]", "[0,0]") + "}", 0)))
                   .at("e")
                   .count() == 0u);
}

BOOST_AUTO_TEST_CASE(the_last_of_a_name_counts_and_unknown_keys_are_ignored) {
    const pali::test::temporary_folder folder;
    const std::string first = tensor(R"("BF16")", "[8]", "[0,16]"),
                      last = R"({"dtype":"F32","shape":[2,2],"strides":[1],"data_offsets":[0,16]})";
    const pali::files::safetensors_file opened(
        folder.write("a", file(R"({"a":)" + first + R"(,"__metadata__":{"k":"1","k":"2"},"\u0061":)" + last + "}", 16)));
    BOOST_TEST((opened.at("a").type == pali::files::dtype::f32));
    BOOST_TEST(opened.metadata().at("k") == "2");
    BOOST_TEST(pali::files::safetensors_file(folder.write("b", file(R"({"__metadata__":null})", 0))).metadata().empty());
}

// The format does not guarantee alignment; older writers did not pad.
BOOST_AUTO_TEST_CASE(misaligned_tensors_are_noted) {
    const pali::test::temporary_folder folder;
    std::string header = R"({"a":)" + good + "}";
    while (header.size() % 4 != 1) header += ' ';
    const pali::files::safetensors_file opened(folder.write("odd.safetensors", file(header, 16)));
    BOOST_TEST(!opened.at("a").is_aligned());
    BOOST_TEST(pali::test::golden(folder.path() / "odd.safetensors").floats("a").size() == 4u);
}

BOOST_AUTO_TEST_CASE(moving_moves_no_bytes) {
    const pali::test::temporary_folder folder;
    pali::files::safetensors_file first(folder.write("a.safetensors", file(R"({"a":)" + good + "}", 16)));
    const auto* const where = first.at("a").bytes.data();
    pali::files::safetensors_file second(std::move(first));
    BOOST_TEST(second.at("a").bytes.data() == where);
    pali::files::safetensors_file third(folder.write("b.safetensors", file("{}", 0)));
    third = std::move(second);
    BOOST_TEST(third.at("a").bytes.data() == where);
    BOOST_TEST((third.at("a").bytes[0] == std::byte{0x3f}));
}

BOOST_AUTO_TEST_CASE(a_missing_tensor_is_named) {
    const pali::test::temporary_folder folder;
    const pali::files::safetensors_file opened(folder.write("a.safetensors", file(R"({"a":)" + good + "}", 16)));
    BOOST_CHECK_EXCEPTION((void)opened.at("b"), pali::error, [](const pali::error& e) {
        return e.code() == errc::checkpoint_mismatch && std::string(e.what()).find("a.safetensors: has no tensor 'b'") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(names_cannot_write_to_the_terminal) {
    const pali::test::temporary_folder folder;
    const auto path = folder.write("a.safetensors", file(R"({"\u001b[31m\n)" + std::string(5000, 'x') + R"(":null})", 0));
    BOOST_CHECK_EXCEPTION(pali::files::safetensors_file{path}, pali::error, [](const pali::error& e) {
        const std::string what = e.what();
        return what.find('\x1b') == std::string::npos && what.find("\\x1b[31m\\x0a") != std::string::npos && what.size() < 600;
    });
}

BOOST_AUTO_TEST_CASE(what_is_no_file_cannot_be_opened) {
    const pali::test::temporary_folder folder;
    const auto says = [](const std::string& word) {
        return
            [word](const pali::error& e) { return e.code() == errc::cannot_open && std::string(e.what()).find(word) != std::string::npos; };
    };
    BOOST_CHECK_EXCEPTION(pali::files::safetensors_file{folder.path() / "absent.safetensors"}, pali::error,
                          says("absent.safetensors: no such file"));
    BOOST_CHECK_EXCEPTION(pali::files::safetensors_file{folder.path()}, pali::error, says("is a folder"));
    BOOST_CHECK_EXCEPTION(pali::files::safetensors_file{"/dev/zero"}, pali::error, says("is not a regular file"));
}

// Tests the golden helper: a NaN must not compare as equal.
BOOST_AUTO_TEST_CASE(differences_are_found) {
    const std::vector<float> want{1, -4, 2}, same = want, off{1, -4.5f, 2}, nan{1, std::numeric_limits<float>::quiet_NaN(), 2};
    BOOST_TEST(pali::test::worst_difference(same, want).absolute == 0);
    const pali::test::difference d = pali::test::worst_difference(off, want);
    BOOST_TEST(d.absolute == 0.5);
    BOOST_TEST(d.relative == 0.125);
    BOOST_TEST(d.index == 1u);
    BOOST_TEST(pali::test::worst_difference(nan, want).absolute == std::numeric_limits<double>::infinity());
    BOOST_TEST(pali::test::worst_difference(want, nan).absolute == std::numeric_limits<double>::infinity());
    BOOST_CHECK_THROW((void)pali::test::worst_difference(std::vector<float>{1}, want), std::exception);
    BOOST_CHECK_THROW((void)pali::test::worst_difference(std::vector<float>{}, std::vector<float>{}), std::exception);
}

BOOST_AUTO_TEST_SUITE_END()
