// Cache sizes, as detected and as used by the kernels.
#include <pali/arch/cpu_caches.hpp>

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>

BOOST_AUTO_TEST_SUITE(arch_caches)

BOOST_AUTO_TEST_CASE(kernels_always_have_sizes) {
    const pali::core::cache_sizes& used = pali::arch::caches();
    BOOST_TEST(used.l1 >= 16u << 10);
    BOOST_TEST(used.l2 >= 128u << 10);
    BOOST_TEST(used.l2 >= used.l1);
}

#if defined(__linux__)
BOOST_AUTO_TEST_CASE(what_is_found_agrees_with_the_kernel) {
    // /sys/devices/system/cpu/cpu0/cache/index*: level, type, and size in K
    pali::core::cache_sizes listed;
    const auto read = [](const std::string& name) {
        std::string word;
        std::ifstream(name) >> word;
        return word;
    };
    for (int i = 0; i < 8; ++i) {
        const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/", size = read(folder + "size");
        if (size.empty() || size.back() != 'K' || read(folder + "type") == "Instruction") continue;
        const std::size_t bytes = std::stoull(size) << 10;
        if (read(folder + "level") == "1") listed.l1 = bytes;
        if (read(folder + "level") == "2") listed.l2 = bytes;
    }
    const pali::core::cache_sizes found = pali::core::caches_of_a_core();
    if (listed.l1 != 0 && found.l1 != 0) BOOST_TEST(found.l1 == listed.l1); // a container may hide either source
    if (listed.l2 != 0 && found.l2 != 0) BOOST_TEST(found.l2 == listed.l2);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
