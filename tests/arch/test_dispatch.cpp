// Selection of the compiled ISA level, on this CPU and on CPUs with emulated CPUID.
#include <pali/arch/dispatch.hpp>
#include <pali/core/error.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <fstream>
#include <ostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using pali::arch::compiled_level;
using pali::arch::features;
using pali::arch::level;
using pali::arch::processor;

// CPUID results of an emulated CPU. Bits as in Intel's Software Developer's Manual, volume 2A, CPUID; leaf 80000001H as in AMD's
// Architecture Programmer's Manual, volume 3, appendix E.
struct cpuid_answers {
    processor::registers basic, extended, more, amd;
    std::uint64_t saved = 0;
} answers;

processor made_up() {
    return {.cpuid =
                [](unsigned leaf, unsigned subleaf) {
                    if (leaf == 1) return answers.basic;
                    if (leaf == 7) return subleaf == 0 ? answers.extended : answers.more;
                    if (leaf == 0x80000001) return answers.amd;
                    return processor::registers{};
                },
            .xcr0 = [] { return answers.saved; },
            .may_use_tiles = [] { return true; }};
}

constexpr unsigned bits(auto... n) { return ((1u << n) | ...); }

// An x86-64-v3 processor, Haswell: SSE3 0, SSSE3 9, FMA 12, CMPXCHG16B 13, SSE4.1 19, SSE4.2 20, MOVBE 22, POPCNT 23, OSXSAVE 27, AVX 28,
// F16C 29; BMI1 3, AVX2 5, BMI2 8; LAHF 0, LZCNT 5.
cpuid_answers haswell() {
    cpuid_answers said;
    said.basic.c = bits(0, 9, 12, 13, 19, 20, 22, 23, 27, 28, 29);
    said.extended.b = bits(3, 5, 8);
    said.amd.c = bits(0, 5);
    said.saved = 0x7;
    return said;
}

// Adds AVX-512 F 16, DQ 17, CD 28, BW 30, VL 31, with opmask and ZMM state enabled in XCR0.
cpuid_answers skylake_server() {
    cpuid_answers said = haswell();
    said.extended.b |= bits(16, 17, 28, 30, 31);
    said.saved = 0xe7;
    return said;
}

const compiled_level x86_64{level::baseline, false, nullptr}, x86_64_v3{level::x86_64_v3, false, nullptr},
    x86_64_v4{level::x86_64_v4, false, nullptr};
const std::vector<const compiled_level*> all_levels{&x86_64, &x86_64_v3, &x86_64_v4};
const features everything{.avx2 = true, .avx_vnni = true, .avx512_vnni = true, .avx512_bf16 = true, .amx_bf16 = true};

auto says(const std::string& part) {
    return [part](const pali::error& e) {
        return e.code() == pali::errc::unsupported_arch && std::string(e.what()).find(part) != std::string::npos;
    };
}

struct missing_bit {
    const char* name;
    char leaf; // 'c': leaf 1, C; 'b': leaf 7, B; 'a': leaf 80000001H, C; 's': XCR0
    int bit;
    level without;
};
std::ostream& operator<<(std::ostream& out, const missing_bit& one) { return out << one.name; }

const std::vector<missing_bit> needed{
    {"SSE3", 'c', 0, level::baseline},
    {"SSSE3", 'c', 9, level::baseline},
    {"FMA", 'c', 12, level::baseline},
    {"CMPXCHG16B", 'c', 13, level::baseline},
    {"SSE4.1", 'c', 19, level::baseline},
    {"SSE4.2", 'c', 20, level::baseline},
    {"MOVBE", 'c', 22, level::baseline},
    {"POPCNT", 'c', 23, level::baseline},
    {"OSXSAVE", 'c', 27, level::baseline},
    {"AVX", 'c', 28, level::baseline},
    {"F16C", 'c', 29, level::baseline},
    {"BMI1", 'b', 3, level::baseline},
    {"AVX2", 'b', 5, level::baseline},
    {"BMI2", 'b', 8, level::baseline},
    {"LAHF", 'a', 0, level::baseline},
    {"LZCNT", 'a', 5, level::baseline},
    {"saved XMM", 's', 1, level::baseline},
    {"saved YMM", 's', 2, level::baseline},
    {"AVX-512 F", 'b', 16, level::x86_64_v3},
    {"AVX-512 DQ", 'b', 17, level::x86_64_v3},
    {"AVX-512 CD", 'b', 28, level::x86_64_v3},
    {"AVX-512 BW", 'b', 30, level::x86_64_v3},
    {"AVX-512 VL", 'b', 31, level::x86_64_v3},
    {"saved opmasks", 's', 5, level::x86_64_v3},
    {"saved upper halves", 's', 6, level::x86_64_v3},
    {"saved upper registers", 's', 7, level::x86_64_v3},
};

} // namespace

BOOST_AUTO_TEST_SUITE(arch_dispatch)

BOOST_AUTO_TEST_CASE(whole_levels_are_found) {
    answers = {};
    BOOST_TEST((highest_level(made_up()) == level::baseline));
    answers = haswell();
    BOOST_TEST((highest_level(made_up()) == level::x86_64_v3));
    answers = skylake_server();
    BOOST_TEST((highest_level(made_up()) == level::x86_64_v4));
    BOOST_TEST((highest_level(processor{}) == level::baseline)); // another architecture
}

BOOST_DATA_TEST_CASE(a_level_needs_each_of_its_extensions, boost::unit_test::data::make(needed), one) {
    answers = skylake_server();
    const auto clear = [&](auto& word) { word &= ~(std::remove_reference_t<decltype(word)>{1} << one.bit); };
    if (one.leaf == 'c') clear(answers.basic.c);
    else if (one.leaf == 'b') clear(answers.extended.b);
    else if (one.leaf == 'a') clear(answers.amd.c);
    else clear(answers.saved);
    BOOST_TEST((highest_level(made_up()) == one.without));
}

BOOST_AUTO_TEST_CASE(without_lzcnt_x86_64_is_selected) {
    answers = skylake_server();
    answers.amd.c &= ~bits(5);
    const auto made = pali::arch::select("", all_levels, highest_level(made_up()), features_of(made_up()));
    BOOST_TEST((made.level->which == level::baseline));
    BOOST_TEST((made.extensions == features{}));
}

BOOST_AUTO_TEST_CASE(the_highest_level_is_selected_with_its_extensions) {
    const auto selected = [](level highest) { return pali::arch::select("", all_levels, highest, everything); };
    BOOST_TEST((selected(level::baseline).level == &x86_64));
    BOOST_TEST((selected(level::baseline).extensions == features{}));
    BOOST_TEST((selected(level::x86_64_v3).level == &x86_64_v3));
    BOOST_TEST((selected(level::x86_64_v3).extensions == features{.avx2 = true, .avx_vnni = true}));
    BOOST_TEST((selected(level::x86_64_v4).level == &x86_64_v4));
    BOOST_TEST((selected(level::x86_64_v4).extensions == everything));
}

BOOST_AUTO_TEST_CASE(pali_arch_names_a_level) {
    const auto selected = [](const char* name) { return pali::arch::select(name, all_levels, level::x86_64_v4, everything); };
    for (const char* name : {"simd", "x86-64"}) {
        BOOST_TEST((selected(name).level == &x86_64));
        BOOST_TEST((selected(name).extensions == features{}));
    }
    BOOST_TEST((selected("x86-64-v3").level == &x86_64_v3));
    BOOST_TEST((selected("x86-64-v3").extensions == features{.avx2 = true, .avx_vnni = true}));
    BOOST_TEST((selected("avx2").level == &x86_64_v3));
    BOOST_TEST((selected("avx2").extensions == features{.avx2 = true})); // and no other extension
    BOOST_TEST((selected("x86-64-v4").level == &x86_64_v4));
    BOOST_TEST((selected("x86-64-v4").extensions == everything));
    BOOST_TEST((selected("vnni").level == &x86_64_v4));
    BOOST_TEST((selected("vnni").extensions == features{.avx2 = true, .avx_vnni = true, .avx512_vnni = true}));
    BOOST_TEST((selected("bf16").extensions == features{.avx2 = true, .avx_vnni = true, .avx512_vnni = true, .avx512_bf16 = true}));
    BOOST_TEST((selected("amx").extensions == everything));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused) {
    const auto selected = [](const char* name, std::vector<const compiled_level*> compiled, level highest) {
        return pali::arch::select(name, compiled, highest, everything);
    };
    BOOST_CHECK_EXCEPTION((void)selected("x86-64-v4", all_levels, level::x86_64_v3), pali::error,
                          says("which this processor does not have"));
    BOOST_CHECK_EXCEPTION((void)selected("avx2", all_levels, level::baseline), pali::error, says("which this processor does not have"));
    BOOST_CHECK_EXCEPTION((void)selected("x86-64-v3", {&x86_64}, level::x86_64_v3), pali::error,
                          says("for which this program was not compiled"));
    BOOST_CHECK_EXCEPTION((void)selected("avx2", {&x86_64_v4}, level::x86_64_v4), pali::error,
                          says("for which this program was not compiled"));
    BOOST_CHECK_EXCEPTION((void)selected("", {&x86_64_v4}, level::x86_64_v3), pali::error,
                          says("this processor supports x86-64-v3, but the program was built without kernels for it"));
    BOOST_CHECK_EXCEPTION((void)selected("", {}, level::x86_64_v4), pali::error, says("without kernels"));
    BOOST_CHECK_EXCEPTION((void)selected("sse9", all_levels, level::x86_64_v4), pali::error, says("the valid names are x86-64"));
#if defined(__x86_64__)
    BOOST_CHECK_EXCEPTION((void)selected("neon", all_levels, level::x86_64_v4), pali::error, says("another architecture"));
#endif
}

BOOST_AUTO_TEST_CASE(an_object_with_all_kernels_uses_all_extensions) {
    const compiled_level whole{level::baseline, true, nullptr}; // as in header-only use without -march
    const auto made = pali::arch::select("", {&whole}, level::x86_64_v4, everything);
    BOOST_TEST((made.level == &whole));
    BOOST_TEST((made.extensions == everything));
}

BOOST_AUTO_TEST_CASE(this_program_has_its_levels) {
    std::set<level> found;
    for (const compiled_level* one : pali::arch::compiled_levels()) {
        BOOST_TEST((one->kernels != nullptr));
        BOOST_TEST(found.insert(one->which).second);
    }
#if defined(__x86_64__)
    BOOST_TEST((found == std::set{level::baseline, level::x86_64_v3, level::x86_64_v4}));
#else
    BOOST_TEST((found == std::set{level::baseline}));
#endif
    BOOST_TEST((pali::arch::selected().level->which <= highest_level(pali::arch::this_processor())));
}

#if defined(__linux__) && defined(__x86_64__)
BOOST_AUTO_TEST_CASE(the_highest_level_agrees_with_the_kernel) {
    std::ifstream info("/proc/cpuinfo");
    std::set<std::string> flags;
    for (std::string line, word; flags.empty() && std::getline(info, line);)
        if (line.starts_with("flags"))
            for (std::istringstream words(line); words >> word;) flags.insert(word);
    BOOST_REQUIRE(!flags.empty());
    const auto has = [&](auto... names) { return (flags.contains(names) && ...); };
    const bool v3 =
        has("pni", "ssse3", "fma", "cx16", "sse4_1", "sse4_2", "movbe", "popcnt", "avx", "f16c", "bmi1", "avx2", "bmi2", "lahf_lm", "abm");
    const bool v4 = v3 && has("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl");
    BOOST_TEST((highest_level(pali::arch::this_processor()) == (v4 ? level::x86_64_v4 : v3 ? level::x86_64_v3 : level::baseline)));
}
#endif

BOOST_AUTO_TEST_SUITE_END()
