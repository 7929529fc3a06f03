// What the machine can do, measured in the same run as what is compared with it.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/arch/prefetch.hpp>
#include <pali/arch/simd.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/files/mmap.hpp>
#include <pali/kernels/product/loop_tiles.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
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

constexpr std::size_t line_floats = 16; ///< of a line of the caches, 64 bytes

/// Reads a block of `Size` floats, four lines at a time that lie `Apart` floats from each other, with those of 16 rounds later fetched or
/// not. Vectors by name: of single numbers clang makes gathers.
template <std::size_t Size, std::size_t Apart, bool Fetches>
float read_block(const float* numbers) {
    using batch = pali::arch::simd<>::batch;
    constexpr std::size_t line = line_floats, lines = 4, step = Apart == line ? lines * line : line,
                          chains = 8; // so that loads do not wait for sums
    batch chain[chains];
    PALI_UNROLL
    for (batch& sum : chain) sum = batch(0.f);
    for (const float* const end = numbers + Size / lines / line * step; numbers != end; numbers += step) {
        if constexpr (Fetches) PALI_UNROLL
        for (std::size_t k = 0; k < lines; ++k) pali::arch::fetch_ahead(numbers + k * Apart + 16 * step);
        PALI_UNROLL
        for (std::size_t k = 0; k < lines; ++k) PALI_UNROLL
        for (std::size_t part = 0; part < line; part += batch::size)
            chain[(k * line + part) / batch::size % chains] += batch::load_aligned(numbers + k * Apart + part);
    }
    PALI_UNROLL
    for (std::size_t k = 1; k < chains; ++k) chain[0] += chain[k];
    return chain[0].get(0);
}

/// Bytes a second of the best of some passes over 1 GiB on huge pages. Each thread reads blocks of 1 MiB as they come: line after line, or
/// a line of each quarter in turn, which is half as quick again on Zen 3; each in every other pass with lines fetched ahead.
inline double read_bandwidth(pali::thread_pool& threads) {
    constexpr std::size_t block = 1 << 18, blocks = 1024, quarter = block / 4;
    constexpr std::array<float (*)(const float*), 4> ways{read_block<block, line_floats, false>, read_block<block, quarter, false>,
                                                          read_block<block, line_floats, true>, read_block<block, quarter, true>};
    pali::page_memory memory(block * blocks * sizeof(float));
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{1});
    std::vector<float> sums(blocks);
    std::size_t pass = 0;
    const double seconds = best_seconds(16, [&] {
        const auto read = ways[pass++ % ways.size()];
        threads.run(blocks, [&](std::size_t i) { sums[i] = read(reinterpret_cast<const float*>(memory.bytes().data()) + i * block); });
    });
    for (const float sum : sums) keep(sum);
    return static_cast<double>(block * blocks * sizeof(float)) / seconds;
}

/// Floating-point operations a second of multiply-adds on registers.
inline double fma_peak(pali::thread_pool& threads) {
    using batch = pali::arch::simd<>::batch;
    constexpr std::size_t chains = 12, rounds = 2000000; // more chains than the latency of an addition times two units
    std::vector<double> results(threads.size());
    const double seconds = best_seconds(6, [&] {
        threads.run(threads.size(), [&](std::size_t i) {
            batch sums[chains];
            for (std::size_t c = 0; c < chains; ++c)
                sums[c] = batch(static_cast<float>(i * chains + c)); // all different, or one would do for all
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
    using tiles = pali::arch::amx_tiles;
    constexpr std::size_t rounds = 2000000;
    const double seconds = best_seconds(4, [&] {
        threads.run(threads.size(), [&](std::size_t) {
            pali::arch::tile_shapes shapes;
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
