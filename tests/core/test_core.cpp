// The core layer: 16-bit floats, threads, scratch memory, error text.
#include <pali/core/bfloat16.hpp>
#include <pali/core/context.hpp>
#include <pali/core/error.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#  include <sys/resource.h>
#  include <unistd.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#  define PALI_TEST_SANITIZED
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define PALI_TEST_SANITIZED
#  endif
#endif

BOOST_AUTO_TEST_SUITE(bfloat16)

BOOST_AUTO_TEST_CASE(rounds_to_nearest_even) {
    const auto round = [](std::uint32_t bits) { return pali::core::bfloat16(std::bit_cast<float>(bits)).bits; };
    BOOST_TEST(round(0x3f800000u) == 0x3f80); // 1
    BOOST_TEST(round(0x3f807fffu) == 0x3f80); // below half: down
    BOOST_TEST(round(0x3f808000u) == 0x3f80); // half, even: down
    BOOST_TEST(round(0x3f818000u) == 0x3f82); // half, odd: up
    BOOST_TEST(round(0x3f808001u) == 0x3f81); // above half: up
    BOOST_TEST(round(0x7f7fffffu) == 0x7f80); // the largest float becomes infinity
    BOOST_TEST(round(0x7f800000u) == 0x7f80);
    BOOST_TEST(std::isnan(static_cast<float>(pali::core::bfloat16(std::bit_cast<float>(0x7f800001u))))); // NaN with infinity's upper half
}

BOOST_AUTO_TEST_CASE(every_value_survives_float32) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        pali::core::bfloat16 value;
        value.bits = static_cast<std::uint16_t>(bits);
        const float wide = static_cast<float>(value);
        if (!std::isnan(wide)) BOOST_REQUIRE(pali::core::bfloat16(wide) == value);
    }
}

BOOST_AUTO_TEST_CASE(half_precision_has_the_values_of_ieee) {
    const auto value = [](unsigned bits) {
        pali::core::float16 half;
        half.bits = static_cast<std::uint16_t>(bits);
        return static_cast<float>(half);
    };
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
        const float sign = bits & 0x8000 ? -1.f : 1.f;
        if (exponent == 31) {
            BOOST_REQUIRE(fraction ? std::isnan(value(bits)) : value(bits) == sign * std::numeric_limits<float>::infinity());
        } else {
            const float want = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                             : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
            BOOST_REQUIRE(value(bits) == sign * want);
        }
    }
}

BOOST_AUTO_TEST_CASE(half_floats_round_to_nearest_even) {
    const auto value = [](unsigned bits) {
        pali::core::float16 half;
        half.bits = static_cast<std::uint16_t>(bits);
        return static_cast<float>(half);
    };
    const auto rounded = [](float x) { return static_cast<unsigned>(pali::core::float16(x).bits); };
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (unsigned bits = 0; bits < 0x7c00; ++bits) { // each finite value, its successor and the midpoint
        const float here = value(bits), next = bits == 0x7bff ? 65536.f : value(bits + 1),
                    middle = (here + next) / 2; // exact: float32 has 13 more bits
        const unsigned even = bits % 2 == 0 ? bits : bits + 1;
        for (const auto& [x, want] :
             {std::pair(here, bits), {middle, even}, {std::nextafter(middle, 0.f), bits}, {std::nextafter(middle, infinity), bits + 1}}) {
            BOOST_REQUIRE(rounded(x) == want);
            BOOST_REQUIRE(rounded(-x) == (want | 0x8000u));
        }
    }
    BOOST_TEST(rounded(infinity) == 0x7c00u);
    BOOST_TEST(rounded(std::numeric_limits<float>::max()) == 0x7c00u);
    BOOST_TEST(rounded(std::numeric_limits<float>::denorm_min()) == 0u);
    BOOST_TEST(std::isnan(static_cast<float>(pali::core::float16(std::numeric_limits<float>::quiet_NaN()))));
    BOOST_TEST(
        std::isnan(static_cast<float>(pali::core::float16(std::bit_cast<float>(0x7f800001u))))); // a NaN whose upper bits equal infinity's
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(thread_pool)

BOOST_AUTO_TEST_CASE(every_task_runs_once) {
    for (const std::size_t threads : {1u, 2u, 3u, 7u}) {
        pali::core::thread_pool pool(threads);
        BOOST_TEST(pool.size() == threads);
        for (std::size_t round = 0; round < 300; ++round) {
            std::vector<std::atomic<int>> runs(round % 40);
            pool.run(runs.size(), [&](std::size_t i) { ++runs[i]; });
            for (const auto& count : runs) BOOST_REQUIRE(count == 1);
        }
    }
}

BOOST_AUTO_TEST_CASE(more_threads_than_there_can_be_are_refused) {
    BOOST_CHECK_EXCEPTION(pali::core::thread_pool(pali::core::thread_pool::most_threads + 1), pali::error, [](const pali::error& e) {
        return e.code() == pali::errc::invalid_argument && std::string(e.what()).find("threads is ") != std::string::npos;
    });
#if defined(__linux__) && !defined(PALI_TEST_SANITIZED) // ASan needs unlimited address space
    rlimit before{};
    BOOST_TEST_REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit little{.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + (std::size_t{256} << 20),
                        .rlim_max = before.rlim_max};
    BOOST_TEST_REQUIRE(setrlimit(RLIMIT_AS, &little) == 0);
    bool thrown = false;
    try {
        const pali::core::thread_pool pool(1000); // each thread needs a stack of 8 MB
    } catch (const pali::error& e) {
        thrown = e.code() == pali::errc::too_few_threads && std::string(e.what()).find("of 1000 threads") != std::string::npos &&
                 std::string(e.what()).find("ulimit") != std::string::npos;
    }
    BOOST_TEST_REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    BOOST_TEST(thrown);
#endif
}

BOOST_AUTO_TEST_CASE(a_thread_takes_consecutive_tasks) {
    constexpr std::size_t count = 20000;
    for (const std::size_t threads : {2u, 5u}) {
        pali::core::thread_pool pool(threads);
        std::vector<std::size_t> ran_by(count, threads);
        pool.run(count, [&](std::size_t i, std::size_t thread) {
            ran_by[i] = thread;
            std::atomic<int> work{0}; // keeps one thread from finishing before the others wake
            while (++work < 1000) {}
        });
        std::size_t pieces = 1;
        for (std::size_t i = 0; i < count; ++i) {
            BOOST_TEST_REQUIRE(ran_by[i] < threads);
            if (i != 0) pieces += ran_by[i] != ran_by[i - 1];
        }
        // A thread takes 1 / (2 · threads) of the remaining tasks at a time. So the remainder falls by a factor of e per 2 · threads takes.
        // At the end, tasks are taken one by one.
        const double shares = 2. * static_cast<double>(threads);
        BOOST_TEST(static_cast<double>(pieces) < shares * (std::log(static_cast<double>(count)) + 2));
    }
}

BOOST_AUTO_TEST_CASE(a_task_can_know_its_thread) {
    pali::core::thread_pool pool(3);
    std::vector<std::atomic<int>> busy(3);
    std::atomic<bool> shared{false};
    pool.run(1000, [&](std::size_t, std::size_t thread) {
        if (++busy[thread] != 1) shared = true; // concurrent tasks with one thread index would share scratch memory
        --busy[thread];
    });
    BOOST_TEST(!shared);
}

#if defined(__linux__)
BOOST_AUTO_TEST_CASE(pinned_threads_stay_on_a_processor_and_the_callers_does_not) {
    const auto processors = [] { // runs on all threads, where BOOST_TEST must not be used
        cpu_set_t allowed;
        return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 0;
    };
    const int before = processors();
    BOOST_TEST_REQUIRE(before > 0);
    for (const bool pin : {false, true}) {
        pali::core::thread_pool pool(3, pin);
        std::array<std::atomic<int>, 3> found{};
        while (found[1] == 0 || found[2] == 0)
            pool.run(3, [&](std::size_t, std::size_t thread) {
                found[thread] = processors();
                std::this_thread::sleep_for(std::chrono::milliseconds(1)); // lets other threads take tasks if they share one CPU
            });
        BOOST_TEST(found[1] == (pin ? 1 : before));
        BOOST_TEST(found[2] == (pin ? 1 : before));
        BOOST_TEST(processors() == before);
    }
}
#endif

BOOST_AUTO_TEST_CASE(it_wakes_after_sleeping) {
    pali::core::thread_pool pool(2);
    for (int i = 0; i < 3; ++i) {
        std::atomic<int> done{0};
        pool.run(8, [&](std::size_t) { ++done; });
        BOOST_TEST(done == 8);
        std::this_thread::sleep_for(std::chrono::milliseconds(5)); // long enough for the workers to sleep
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(arena)

BOOST_AUTO_TEST_CASE(frames_give_back_and_passes_allocate_once) {
    pali::core::arena scratch;
    const auto pass = [&] {
        const pali::core::arena::frame frame(scratch);
        float* const a = scratch.take(100);
        BOOST_TEST(reinterpret_cast<std::uintptr_t>(a) % 64 == 0u);
        {
            const pali::core::arena::frame inner(scratch);
            float* const b = scratch.take(std::size_t{1} << 20);
            BOOST_TEST(b != a);
        }
        float* const c = scratch.take(50);
        std::memset(c, 0, 50 * sizeof(float));
        return std::pair(a, c);
    };
    pass();
    const std::size_t bytes = scratch.bytes();
    const auto second = pass();
    BOOST_TEST((pass() == second));
    BOOST_TEST(scratch.bytes() == bytes);
}

BOOST_AUTO_TEST_CASE(a_pass_uses_what_one_of_other_sizes_has_left) {
    constexpr std::size_t many = std::size_t{1} << 22; // floats
    pali::core::arena scratch;
    const auto pass = [&](std::size_t pieces) {
        const pali::core::arena::frame frame(scratch);
        for (std::size_t i = 0; i < pieces; ++i) {
            float* const piece = scratch.take(many / pieces);
            piece[0] = 1;
            piece[many / pieces - 1] = 1;
        }
    };
    pass(8);
    const std::size_t bytes = scratch.bytes();
    for (const std::size_t pieces : {1u, 2u, 4u, 8u}) pass(pieces);
    BOOST_TEST(scratch.bytes() == bytes);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(the_code_is_in_the_message) {
    const pali::error e(pali::errc::checkpoint_mismatch, "what is wrong");
    BOOST_TEST(e.what() == std::string("[pali.301] what is wrong"));
    BOOST_TEST((e.code() == pali::errc::checkpoint_mismatch));
}

BOOST_AUTO_TEST_CASE(a_message_is_told_by_its_parts) {
    // Storing an error_text must not compile, because it would refer to destroyed temporaries.
    static_assert(!std::is_copy_constructible_v<pali::core::error_text> && !std::is_move_constructible_v<pali::core::error_text>);
    static_assert(!std::is_copy_assignable_v<pali::core::error_text> && !std::is_move_assignable_v<pali::core::error_text>);
    static_assert(!std::is_constructible_v<pali::error, pali::errc, pali::core::error_text&>);
    static_assert(std::is_constructible_v<pali::error, pali::errc, pali::core::error_text>);
    const auto said = [](pali::core::error_text&& message) { return std::move(message).str(); };
    BOOST_TEST(said("a literal") == "a literal");
    BOOST_TEST(said(std::string("a text\0 with a zero", 19)) == std::string("a text\0 with a zero", 19));
    BOOST_TEST(said({}) == "");
    BOOST_TEST(said({std::string("folder"), ": tensor ", std::string_view("'name'"), " holds ", std::size_t{12}, " values"}) ==
               "folder: tensor 'name' holds 12 values");
    BOOST_TEST(said({"parts ", {"of ", {"parts ", -1}}, ", ", true ? pali::core::error_text{"one ", 2} : "none"}) ==
               "parts of parts -1, one 2");
    // Formatted like std::to_string.
    BOOST_TEST(said({std::numeric_limits<std::uint64_t>::max(), " ", std::numeric_limits<std::int64_t>::min()}) ==
               "18446744073709551615 -9223372036854775808");
    BOOST_TEST(said({std::uint8_t{7}, " ", std::int8_t{-7}, " ", 0.5f, " ", -1e9}) == "7 -7 0.500000 -1000000000.000000");

    std::string before = "before";
    pali::core::error_text{", ", 2}.append_to(before);
    BOOST_TEST(before == "before, 2");
    BOOST_TEST(pali::error(pali::errc::cannot_open, {"file", ": ", 3, " bytes"}).what() == std::string("[pali.201] file: 3 bytes"));
}

BOOST_AUTO_TEST_SUITE_END()
