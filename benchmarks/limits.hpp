// Measured limits of the machine: memory bandwidth, FMA and AMX peak. Benchmarks measure them in the same run as the kernels or models.
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

/// Seconds of one run of `work`.
double seconds_of(auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds of the fastest of `count` runs of `work`.
double best_seconds(std::size_t count, auto&& work) {
    double best = 1e30;
    for (std::size_t i = 0; i < count; ++i) best = std::min(best, seconds_of(work));
    return best;
}

/// Keeps the compiler from removing the computation of `value`.
inline void keep(double value) {
    volatile double kept = value;
    (void)kept;
}

constexpr std::size_t line_floats = 16; ///< floats in a cache line of 64 bytes

/// Sums a block of `Size` floats. Reads four cache lines per iteration, `Apart` floats from each other; with `Fetches`, prefetches the
/// lines of 16 iterations later. Uses explicit vectors, because clang turns a scalar loop into gathers.
template <std::size_t Size, std::size_t Apart, bool Fetches>
float read_block(const float* numbers) {
    using batch = pali::arch::simd<>::batch;
    constexpr std::size_t line = line_floats, lines = 4, step = Apart == line ? lines * line : line,
                          chains = 8; // independent sums, so that add latency does not limit the loads
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

/// Read bandwidth in bytes per second: the best of 16 passes over 1 GiB on huge pages. Threads take blocks of 1 MiB dynamically. The passes
/// alternate between four access patterns: sequential lines, or one line of each quarter of the block in turn (1.5 times as fast on Zen 3),
/// each with and without prefetch.
inline double read_bandwidth(pali::core::thread_pool& threads) {
    constexpr std::size_t block = 1 << 18, blocks = 1024, quarter = block / 4;
    constexpr std::array<float (*)(const float*), 4> ways{read_block<block, line_floats, false>, read_block<block, quarter, false>,
                                                          read_block<block, line_floats, true>, read_block<block, quarter, true>};
    pali::files::page_memory memory(block * blocks * sizeof(float));
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

/// Peak FLOP/s of multiply-adds on registers.
inline double fma_peak(pali::core::thread_pool& threads) {
    using batch = pali::arch::simd<>::batch;
    constexpr std::size_t chains = 12, rounds = 2000000; // chains > FMA latency x 2 units
    std::vector<double> results(threads.size());
    const double seconds = best_seconds(6, [&] {
        threads.run(threads.size(), [&](std::size_t i) {
            batch sums[chains];
            for (std::size_t c = 0; c < chains; ++c)
                sums[c] = batch(static_cast<float>(i * chains + c)); // all different, so the compiler cannot merge the chains
            const batch a(0.999f), b(0.001f);
            for (std::size_t r = 0; r < rounds; ++r)
                for (batch& sum : sums) sum = pali::arch::fma(sum, a, b);
            for (const batch& sum : sums) results[i] += static_cast<double>(pali::compat::reduce_add(sum));
        });
    });
    for (const double result : results) keep(result);
    return 2. * static_cast<double>(chains * rounds * batch::size * threads.size()) / seconds;
}

/// Peak FLOP/s of bf16 AMX tiles; 0 without AMX.
inline double tile_peak(pali::core::thread_pool& threads) {
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

/// A value of /proc/self/status in bytes: "VmHWM" (peak resident memory) or "RssAnon" (resident anonymous memory).
inline std::size_t status_bytes(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name + ":")) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
    return 0;
}
