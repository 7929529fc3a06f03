// Writing safetensors files, compared byte by byte with the reference writer.
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/safetensors.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

std::string content(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

pali::files::tensor_info floats(const std::vector<float>& numbers, std::vector<std::size_t> shape) {
    return {pali::files::dtype::f32, std::move(shape), std::as_bytes(std::span(numbers)), ""};
}

auto fails(pali::errc code, const std::string& word) {
    return [=](const pali::error& e) {
        BOOST_TEST_INFO(e.what());
        BOOST_TEST((std::string(e.what()).find(word) != std::string::npos));
        return e.code() == code;
    };
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_writer)

BOOST_AUTO_TEST_CASE(writes_the_bytes_that_the_package_writes) {
    const auto original = pali::test::data_path("files/every_dtype.safetensors");
    const pali::test::temporary_folder folder;
    const pali::files::safetensors_file read(original);
    pali::files::write_safetensors(folder.path() / "copy.safetensors", read.tensors(), read.metadata());
    BOOST_TEST((content(folder.path() / "copy.safetensors") == content(original)));
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1); // no temporary file is left
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
    const std::vector<float> a{1, 2, 3, 4, 5, 6};
    const std::vector<std::uint16_t> b{0x3f80, 0x4000};
    const pali::test::temporary_folder folder;
    const auto path = folder.path() / "some.safetensors";
    pali::files::write_safetensors(
        path,
        {{"a", floats(a, {2, 3})}, {"b", {pali::files::dtype::bf16, {2}, std::as_bytes(std::span(b)), ""}}, {"none", floats({}, {0, 7})}},
        {{"seed", "7"}, {"text", "two\nlines"}});
    const pali::files::safetensors_file read(path);
    BOOST_TEST(read.tensors().size() == 3u);
    BOOST_TEST(read.at("a").as<float>()[5] == 6);
    BOOST_TEST(read.at("b").as<std::uint16_t>()[1] == 0x4000);
    BOOST_TEST(read.at("none").shape[1] == 7u);
    BOOST_TEST(read.metadata().at("text") == "two\nlines");
    std::uint64_t length = 0;
    std::memcpy(&length, read.file().bytes().data(), 8);
    BOOST_TEST(length % 8 == 0u);
    pali::files::write_safetensors(path, {});
    BOOST_TEST(pali::files::safetensors_file(path).tensors().empty());
}

BOOST_AUTO_TEST_CASE(a_file_can_be_replaced_by_its_own_tensors) {
    const std::vector<float> a{1, 2};
    const pali::test::temporary_folder folder;
    const auto path = folder.path() / "some.safetensors";
    pali::files::write_safetensors(path, {{"a", floats(a, {2})}});
    const pali::files::safetensors_file before(path);
    pali::files::write_safetensors(path, before.tensors(), {{"again", "yes"}});
    const pali::files::safetensors_file after(path);
    BOOST_TEST(after.metadata().at("again") == "yes");
    BOOST_TEST(after.at("a").as<float>()[1] == 2);
    BOOST_TEST(before.at("a").as<float>()[1] == 2);
}

BOOST_AUTO_TEST_CASE(nothing_malformed_is_written) {
    using pali::errc;
    const std::vector<float> a{1, 2, 3};
    const pali::test::temporary_folder folder;
    const auto path = folder.path() / "some.safetensors";
    const auto write = [&](const std::string& name, const pali::files::tensor_info& tensor) {
        pali::files::write_safetensors(path, {{name, tensor}});
    };
    BOOST_CHECK_EXCEPTION(write("a", floats(a, {4})), pali::error,
                          fails(errc::invalid_argument, "tensor 'a' has 12 bytes; shape (4) of F32 needs 16"));
    BOOST_CHECK_EXCEPTION(write("a", floats(a, {std::size_t{1} << 62, 4})), pali::error, fails(errc::invalid_argument, "64 bits"));
    BOOST_CHECK_EXCEPTION(write("a", {pali::files::dtype::f4, {3}, std::as_bytes(std::span(a)).first(1), ""}), pali::error,
                          fails(errc::invalid_argument, "12 bits; whole bytes"));
    BOOST_CHECK_EXCEPTION(write("__metadata__", floats(a, {3})), pali::error, fails(errc::invalid_argument, "__metadata__"));
    BOOST_CHECK_EXCEPTION(write("\xff", floats(a, {3})), pali::error, fails(errc::invalid_argument, "UTF-8"));
    BOOST_CHECK_EXCEPTION(pali::files::write_safetensors(folder.path() / "absent" / "x.safetensors", {}), pali::error,
                          fails(errc::cannot_write, "absent"));
    BOOST_TEST(std::filesystem::is_empty(folder.path()));
    std::filesystem::create_directories(path / "in the way");
    BOOST_CHECK_EXCEPTION(write("a", floats(a, {3})), pali::error,
                          fails(errc::cannot_write, "is a folder, but a file must be written here"));
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

BOOST_AUTO_TEST_CASE(pieces_in_any_order_are_the_whole) {
    const auto original = pali::test::data_path("files/every_dtype.safetensors");
    const pali::test::temporary_folder folder;
    const auto path = folder.path() / "copy.safetensors";
    const pali::files::safetensors_file read(original);
    std::map<std::string, pali::files::safetensors_writer::entry, std::less<>> entries;
    for (const auto& [name, tensor] : read.tensors()) entries[name] = {tensor.type, tensor.shape};
    pali::files::safetensors_writer out(path, entries, read.metadata());
    for (bool more = true; more;) { // appends three bytes to each tensor in turn, from the last to the first
        more = false;
        for (auto one = read.tensors().rbegin(); one != read.tensors().rend(); ++one) {
            const auto& [name, tensor] = *one;
            const std::size_t missing = out.missing(name);
            out.append(name, tensor.bytes.last(missing).first(std::min<std::size_t>(3, missing)));
            more = more || out.missing(name) > 0;
        }
        BOOST_TEST(!std::filesystem::exists(path));
    }
    out.finish();
    BOOST_TEST((content(path) == content(original)));
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

BOOST_AUTO_TEST_CASE(what_is_not_finished_leaves_nothing) {
    using pali::errc;
    const std::vector<float> a{1, 2, 3};
    const auto bytes = std::as_bytes(std::span(a));
    const pali::test::temporary_folder folder;
    const auto path = folder.path() / "some.safetensors";
    {
        pali::files::safetensors_writer out(path, {{"a", {pali::files::dtype::f32, {3}}}, {"b", {pali::files::dtype::f32, {2}}}});
        out.append("a", bytes);
        BOOST_CHECK_EXCEPTION(out.append("a", bytes.first(4)), pali::error,
                              fails(errc::invalid_argument, "tensor 'a' has 4 bytes more than its shape needs"));
        BOOST_CHECK_EXCEPTION(out.append("c", bytes), pali::error, fails(errc::invalid_argument, "tensor 'c' is not in the header"));
        out.append("b", bytes.first(4));
        BOOST_CHECK_EXCEPTION(out.finish(), pali::error,
                              fails(errc::invalid_argument, "tensor 'b' lacks 4 of the bytes that its shape needs"));
        BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1); // the temporary file
        BOOST_TEST(!std::filesystem::exists(path));
    }
    BOOST_TEST(std::filesystem::is_empty(folder.path()));
}

// A folder of the hub's cache has links to blobs, which other folders link to as well.
BOOST_AUTO_TEST_CASE(a_link_is_replaced_and_its_target_kept) {
    const std::vector<float> a{1, 2, 3};
    const pali::test::temporary_folder folder;
    const auto blob = folder.write("blob", "a blob"), path = folder.path() / "some.safetensors";
    std::filesystem::create_symlink("blob", path);
    pali::files::write_safetensors(path, {{"a", floats(a, {3})}});
    BOOST_TEST(!std::filesystem::is_symlink(path));
    BOOST_TEST(content(blob) == "a blob");
    BOOST_TEST(pali::files::safetensors_file(path).at("a").count() == 3u);
}

// No reader accepts such a shape, although an empty tensor has no bytes.
BOOST_AUTO_TEST_CASE(sides_that_overflow_are_refused_beside_an_empty_one) {
    const pali::test::temporary_folder folder;
    const std::vector<std::size_t> shape{0, std::size_t{1} << 40, std::size_t{1} << 40};
    BOOST_CHECK_EXCEPTION(pali::files::safetensors_writer(folder.path() / "x", {{"a", {pali::files::dtype::f32, shape}}}), pali::error,
                          fails(pali::errc::invalid_argument, "64 bits"));
    BOOST_TEST(!pali::files::checked_size(4, shape).has_value());
    BOOST_TEST(pali::files::checked_size(4, std::vector<std::size_t>{0, 5}).value() == 0u);
    BOOST_TEST(pali::files::checked_size(4, std::vector<std::size_t>{2, 5}).value() == 40u);
    BOOST_TEST(pali::files::checked_size(4, std::span<const std::size_t>{}).value() == 4u); // a scalar
}

BOOST_AUTO_TEST_SUITE_END()
