// Instruction sets by name, and the error messages for those that the CPU lacks.
#include <pali/arch/cpu_features.hpp>
#include <pali/core/error.hpp>

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>

namespace {

using pali::arch::features;
using pali::arch::limited_to;

auto says(const std::string& part) {
    return [part](const pali::error& e) {
        return e.code() == pali::errc::unsupported_arch && std::string(e.what()).find(part) != std::string::npos;
    };
}

} // namespace

BOOST_AUTO_TEST_SUITE(arch_features)

BOOST_AUTO_TEST_CASE(a_level_is_all_up_to_it) {
    const features all{.avx2 = true, .avx_vnni = true, .avx512_vnni = true, .avx512_bf16 = true, .amx_bf16 = true};
    BOOST_TEST((limited_to("simd", all) == features{}));
    BOOST_TEST((limited_to("avx2", all) == features{.avx2 = true}));
    BOOST_TEST((limited_to("vnni", all) == features{.avx2 = true, .avx_vnni = true, .avx512_vnni = true}));
    BOOST_TEST((limited_to("vnni", {.avx2 = true, .avx512_vnni = true}) == features{.avx2 = true, .avx512_vnni = true}));
    const features but_tiles{.avx2 = true, .avx_vnni = true, .avx512_vnni = true, .avx512_bf16 = true},
        but_bf16{.avx2 = true, .avx512_vnni = true, .amx_bf16 = true};
    BOOST_TEST((limited_to("bf16", all) == but_tiles));
    BOOST_TEST((limited_to("amx", all) == all));
    BOOST_TEST((limited_to("amx", but_bf16) == but_bf16));
    BOOST_TEST((limited_to("x86-64", all) == features{}));
    BOOST_TEST((limited_to("x86-64-v3", all) == features{.avx2 = true, .avx_vnni = true}));
    BOOST_TEST((limited_to("x86-64-v3", {.avx2 = true, .avx512_vnni = true}) == features{.avx2 = true}));
    BOOST_TEST((limited_to("x86-64-v4", all) == all));
    BOOST_TEST((limited_to("neon", features{}) == features{}));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_refused) {
    BOOST_CHECK_EXCEPTION((void)limited_to("amx", features{.avx2 = true}), pali::error,
                          says("\"amx\", which this processor does not have"));
    BOOST_CHECK_EXCEPTION((void)limited_to("vnni", features{.avx2 = true}), pali::error, says("\"vnni\""));
    BOOST_CHECK_EXCEPTION((void)limited_to("bf16", features{.avx2 = true, .avx512_vnni = true}), pali::error, says("\"bf16\""));
    BOOST_CHECK_EXCEPTION((void)limited_to("avx2", features{}), pali::error, says("\"avx2\""));
    BOOST_CHECK_EXCEPTION((void)limited_to("avx9", features{.avx2 = true}), pali::error,
                          says("the valid names are x86-64, x86-64-v3, x86-64-v4, neon, simd, avx2, vnni, bf16 and amx"));
    BOOST_TEST((limited_to("simd", features{}) == features{}));
}

#if defined(__linux__) && defined(__x86_64__)
BOOST_AUTO_TEST_CASE(detection_agrees_with_the_kernel) {
    std::ifstream info("/proc/cpuinfo");
    std::string flags;
    for (std::string line; flags.empty() && std::getline(info, line);)
        if (line.starts_with("flags")) flags = line + " ";
    BOOST_REQUIRE(!flags.empty());
    const auto has = [&](const std::string& flag) { return flags.find(" " + flag + " ") != flags.npos; };
    BOOST_TEST(pali::arch::detected().avx2 == (has("avx2") && has("fma")));
    BOOST_TEST(pali::arch::detected().avx_vnni == has("avx_vnni"));
    BOOST_TEST(pali::arch::detected().avx512_vnni == (has("avx512_vnni") && has("avx512vl")));
    BOOST_TEST((!pali::arch::detected().avx512_bf16 || has("avx512_bf16"))); // only AMD's avx512_bf16 is used, not Intel's
    BOOST_TEST((!pali::arch::detected().amx_bf16 || has("amx_bf16")));       // the operating system may deny permission
}
#endif

BOOST_AUTO_TEST_SUITE_END()
