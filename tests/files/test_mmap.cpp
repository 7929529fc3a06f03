// Memory-mapped files, and anonymous pages.
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/mmap.hpp>
#include <support/temporary_folder.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#if defined(__linux__)
#  include <fstream>
#  include <sys/resource.h>
#  include <unistd.h>
#endif

BOOST_AUTO_TEST_SUITE(mapped_file)

BOOST_AUTO_TEST_CASE(maps_what_is_in_the_file) {
    const pali::test::temporary_folder folder;
    std::string content(100'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
    const pali::files::mapped_file file(folder.write("some", content));
    BOOST_TEST(file.bytes().size() == content.size());
    BOOST_TEST(std::equal(content.begin(), content.end(), reinterpret_cast<const char*>(file.bytes().data())));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(file.bytes().data()) % 4096 == 0u);
}

BOOST_AUTO_TEST_CASE(what_is_forgotten_comes_back) {
    const pali::test::temporary_folder folder;
    const std::string content = std::string(20000, 'a') + std::string(20000, 'b');
    const pali::files::mapped_file file(folder.write("file", content));
    std::vector<std::byte> elsewhere(40000, std::byte{7});
    for (const auto part : {file.bytes(), file.bytes().subspan(5000, 1), file.bytes().subspan(5000, 20000), std::span<const std::byte>(),
                            std::span<const std::byte>(elsewhere)})
        file.forget(part);
    BOOST_TEST(std::equal(content.begin(), content.end(), reinterpret_cast<const char*>(file.bytes().data())));
    BOOST_TEST((elsewhere == std::vector<std::byte>(40000, std::byte{7}))); // outside of the mapping: unchanged
}

BOOST_AUTO_TEST_CASE(an_empty_file_has_no_bytes) {
    const pali::test::temporary_folder folder;
    const pali::files::mapped_file file(folder.write("empty", ""));
    BOOST_TEST(file.bytes().empty());
    BOOST_TEST(pali::files::mapped_file().bytes().empty());
}

BOOST_AUTO_TEST_CASE(links_are_followed) { // the Hugging Face cache consists of links
    const pali::test::temporary_folder folder;
    folder.write("blob", "content");
    std::filesystem::create_symlink("blob", folder.path() / "link");
    BOOST_TEST(pali::files::mapped_file(folder.path() / "link").bytes().size() == 7u);
    std::filesystem::create_symlink("absent", folder.path() / "broken");
    const auto says = [](const std::string& words) {
        return [words](const pali::error& e) {
            return e.code() == pali::errc::cannot_open && std::string(e.what()).find(words) != std::string::npos;
        };
    };
    BOOST_CHECK_EXCEPTION(pali::files::mapped_file{folder.path() / "broken"}, pali::error, says("broken: no such file"));
    std::filesystem::create_symlink(
        "circle", folder.path() / "circle"); // exists but cannot be resolved; gives the same error as a folder without search permission
    BOOST_CHECK_EXCEPTION(pali::files::mapped_file{folder.path() / "circle"}, pali::error, says("circle: cannot be reached: "));
    BOOST_CHECK_EXCEPTION(pali::files::mapped_file{folder.path() / "circle" / "below"}, pali::error, says("below: cannot be reached: "));
}

#if defined(__linux__)
BOOST_AUTO_TEST_CASE(a_limit_of_the_address_space_is_named) {
    const pali::test::temporary_folder folder;
    const auto path = folder.write("large", "");
    std::filesystem::resize_file(path, std::uintmax_t{1} << 33); // sparse
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit before{};
    BOOST_REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    rlimit limited = before;
    limited.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + (std::size_t{1} << 30);
    BOOST_REQUIRE(setrlimit(RLIMIT_AS, &limited) == 0);
    std::string what;
    try {
        const pali::files::mapped_file file(path);
    } catch (const pali::error& e) {
        what = e.what();
    }
    BOOST_REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    for (const char* word : {"[pali.201]", "large: cannot be mapped", "its 8589934592 bytes", "ulimit -v"})
        BOOST_TEST(what.find(word) != std::string::npos, word << " is not in " << what);
}
#endif

BOOST_AUTO_TEST_CASE(a_mapping_survives_moves_and_the_file_s_removal) {
    const pali::test::temporary_folder folder;
    const auto path = folder.write("some", "content");
    pali::files::mapped_file first(path);
    std::filesystem::remove(path);
    pali::files::mapped_file second(std::move(first));
    pali::files::mapped_file third;
    third = std::move(second);
    BOOST_TEST(std::string(reinterpret_cast<const char*>(third.bytes().data()), third.bytes().size()) == "content");
    BOOST_TEST(third.path() == path);
}

BOOST_AUTO_TEST_CASE(pages_are_zero_and_writable) {
    pali::files::page_memory memory(5'000'000);
    BOOST_TEST(memory.bytes().size() == 5'000'000u);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % 4096 == 0u);
    BOOST_TEST(std::all_of(memory.bytes().begin(), memory.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
    memory.bytes().front() = memory.bytes().back() = std::byte{7};
    pali::files::page_memory moved(std::move(memory));
    BOOST_TEST((moved.bytes().back() == std::byte{7}));
    BOOST_TEST(pali::files::page_memory(0).bytes().empty());
    BOOST_CHECK_THROW(pali::files::page_memory{std::numeric_limits<std::size_t>::max()}, std::bad_alloc);
    BOOST_CHECK_THROW(pali::files::page_memory{std::size_t{1} << 60}, std::bad_alloc);
}

BOOST_AUTO_TEST_SUITE_END()
