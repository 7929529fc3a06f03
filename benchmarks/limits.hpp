// What the machine can do, measured in the same run as what is compared with it.
#pragma once

#include <pali/arch/features.hpp>
#include <pali/arch/prefetch.hpp>
#include <pali/arch/simd.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/mmap.hpp>
#include <pali/kernels/matmul_amx.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

/// Seconds that `work` takes, once.
double seconds_of(auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds of the best of `count` runs.
double best_seconds(std::size_t count, auto&& work) {
    double best = 1e30;
    for (std::size_t i = 0; i < count; ++i) best = std::min(best, seconds_of(work));
    return best;
}

/// So that what was computed was computed for somebody.
inline void keep(double value) {
    volatile double kept = value;
    (void)kept;
}

/// Bytes a second of the best of some passes over 1 GiB on huge pages. Each thread reads blocks of 1 MiB as they come, in every other pass with lines fetched ahead.
inline double read_bandwidth(pali::thread_pool& threads) {
    typedef std::uint64_t line __attribute__((vector_size(64), may_alias)); // vectors by name: of single numbers clang makes gathers
    constexpr std::size_t block = 1 << 20, blocks = 1024;
    pali::page_memory memory(block * blocks);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{1});
    std::vector<std::uint64_t> sums(blocks);
    std::size_t pass = 0;
    const double seconds = best_seconds(12, [&] {
        const bool fetches = pass++ % 2 != 0;
        threads.run(blocks, [&](std::size_t i) {
            const auto* lines = reinterpret_cast<const line*>(memory.bytes().data() + i * block);
            line sums_of[4] = {}; // so that loads do not wait for sums
            for (std::size_t at = 0; at < block / sizeof(line); at += 4) {
                if (fetches)
                    for (std::size_t next = 0; next < 4; ++next) pali::arch::fetch_ahead(lines + at + 64 + next);
                for (std::size_t k = 0; k < 4; ++k) sums_of[k] ^= lines[at + k];
            }
            const line all = sums_of[0] ^ sums_of[1] ^ sums_of[2] ^ sums_of[3];
            for (std::size_t k = 0; k < 8; ++k) sums[i] ^= all[k];
        });
    });
    for (const std::uint64_t sum : sums) keep(static_cast<double>(sum));
    return static_cast<double>(block * blocks) / seconds;
}

/// Floating-point operations a second of multiply-adds on registers.
inline double fma_peak(pali::thread_pool& threads) {
    using batch = pali::arch::simd<>::batch;
    constexpr std::size_t chains = 12, rounds = 2000000; // more chains than the latency of an addition times two units
    std::vector<double> results(threads.size());
    const double seconds = best_seconds(6, [&] {
        threads.run(threads.size(), [&](std::size_t i) {
            batch sums[chains];
            for (std::size_t c = 0; c < chains; ++c) sums[c] = batch(static_cast<float>(i * chains + c)); // all different, or one would do for all
            const batch a(0.999f), b(0.001f);
            for (std::size_t r = 0; r < rounds; ++r)
                for (batch& sum : sums) sum = pali::arch::fma(sum, a, b);
            for (const batch& sum : sums) results[i] += static_cast<double>(pali::compat::reduce_add(sum));
        });
    });
    for (const double result : results) keep(result);
    return 2. * static_cast<double>(chains * rounds * batch::size * threads.size()) / seconds;
}

/// The same of tiles of bfloat16; 0 where there are none.
inline double tile_peak(pali::thread_pool& threads) {
#if defined(__x86_64__)
    if (!pali::arch::detected().amx_bf16) return 0;
    using tiles = pali::kernels::amx_tiles;
    constexpr std::size_t rounds = 2000000;
    const double seconds = best_seconds(4, [&] {
        threads.run(threads.size(), [&](std::size_t) {
            pali::kernels::tile_shapes shapes;
            for (std::size_t i = 0; i < 8; ++i) shapes.row_bytes[i] = 64, shapes.row_count[i] = 16;
            tiles::configure(shapes);
            for (std::size_t r = 0; r < rounds; ++r) {
                tiles::dot_bfloat16<0, 4, 6>();
                tiles::dot_bfloat16<1, 4, 7>();
                tiles::dot_bfloat16<2, 5, 6>();
                tiles::dot_bfloat16<3, 5, 7>();
            }
            tiles::release();
        });
    });
    return 4. * 2 * 16 * 16 * 32 * static_cast<double>(rounds * threads.size()) / seconds;
#else
    return 0;
#endif
}

/// A line of /proc/self/status in bytes: "VmHWM", the most memory that was resident, or "RssAnon", what is resident and no file's.
inline std::size_t status_bytes(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name + ":")) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
    return 0;
}
