// Single kernels at the sizes of PaliGemma 2 3B. Each is reported relative to its limit, memory bandwidth (few rows) or peak FLOP/s (many
// rows), measured in the same run with the same threads. Each result is first compared with the reference; a wrong kernel is not timed.
//
// usage: kernels [--benchmark_filter=...]      takes Google Benchmark's options; environment: THREADS=n, default all
#include "limits.hpp"

#include <pali/core/context.hpp>
#include <pali/kernels/attention/attend.hpp>
#include <pali/kernels/product/product.hpp>
#include <pali/kernels/product/quantize_strip.hpp>
#include <pali/kernels/product/read_row.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/weights/quantize.hpp>
#include <pali/weights/storage.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <type_traits>

namespace {

using pali::core::rows;

struct machine {
    pali::core::context ctx{std::getenv("THREADS") ? std::strtoull(std::getenv("THREADS"), nullptr, 10) : 0};
    double bandwidth = read_bandwidth(ctx.threads), peak = std::max(fma_peak(ctx.threads), tile_peak(ctx.threads));
};

machine& here() {
    static machine measured;
    return measured;
}

pali::core::aligned_vector<float> random(std::size_t n, float scale) {
    std::mt19937 bits(1);
    pali::core::aligned_vector<float> values(n);
    for (float& value : values) value = scale * (static_cast<float>(bits()) / 2147483648.f - 1.f);
    return values;
}

/// The weights of one matrix in their own memory, on huge pages as in a resident model.
template <class Storage>
struct weights {
    weights(std::size_t count, std::size_t width) {
        const auto numbers = random(std::size_t{1} << 16, 0.05f);
        if constexpr (requires { Storage::matrix::group; }) {
            constexpr std::size_t bits = Storage::matrix::bits;
            constexpr std::size_t strip = Storage::matrix::strip;
            std::vector<float> rows(strip * width);
            const std::size_t codes = Storage::matrix::bytes_of(count * width);
            memory = pali::files::page_memory(codes + count * width / Storage::matrix::group * 2);
            auto* const scales = reinterpret_cast<pali::core::bfloat16*>(memory.bytes().data() + codes);
            for (std::size_t n = 0; n < count; n += strip) {
                for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = numbers[(n * 977 + k) % numbers.size()];
                pali::kernels::quantize_strip<bits>(
                    rows.data(), width, reinterpret_cast<std::uint8_t*>(memory.bytes().data()) + Storage::matrix::bytes_of(n * width),
                    scales + n * (width / Storage::matrix::group));
            }
            view = {reinterpret_cast<const std::uint8_t*>(memory.bytes().data()), scales, count, width};
        } else {
            using element = std::remove_const_t<std::remove_pointer_t<decltype(view.data)>>;
            memory = pali::files::page_memory(count * width * sizeof(element));
            auto* const to = reinterpret_cast<element*>(memory.bytes().data());
            for (std::size_t n = 0; n < count; ++n)
                for (std::size_t k = 0; k < width; ++k) to[n * width + k] = element(numbers[(n * 977 + k) % numbers.size()]);
            view = {to, count, width};
        }
    }
    pali::files::page_memory memory;
    typename Storage::matrix view;
};

/// Compares the first and last columns with the reference. Tolerance: 1 % of the largest sum, because activations are rounded to bf16 (AMX
/// tiles; relative error 1/256) or to int8 (quantized weights; error 1/254 of the group's maximum).
template <class Matrix>
bool is_right(rows<const float> x, const Matrix& w, rows<const float> y) {
    double worst = 0, largest = 0;
    std::vector<float> row(w.width);
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, w.count / 2, w.count - 1}) {
        pali::kernels::read_row(w, n, row.data());
        for (std::size_t t = 0; t < x.count; ++t) {
            double want = 0;
            pali::kernels::reference::matmul(rows<const float>(x[t], 1, x.width), rows<const float>(row.data(), 1, w.width), nullptr,
                                             rows<double>(&want, 1, 1));
            worst = std::max(worst, std::abs(want - static_cast<double>(y[t][n])));
            largest = std::max(largest, std::abs(want));
        }
    }
    return worst <= 0.01 * largest;
}

template <class Storage>
void product(benchmark::State& state) {
    const auto tokens = static_cast<std::size_t>(state.range(0)), width = static_cast<std::size_t>(state.range(1)),
               count = static_cast<std::size_t>(state.range(2));
    machine& on = here();
    const weights<Storage> w(count, width);
    const auto x = random(tokens * width, 1);
    pali::core::aligned_vector<float> y(tokens * count);
    const rows<const float> in(x.data(), tokens, width);
    const rows<float> out(y.data(), tokens, count);
    const auto run = [&] {
        pali::kernels::product(in, {pali::kernels::operand{w.view, nullptr, out}},
                               tokens < 16 ? pali::core::pass::step : pali::core::pass::prefill, on.ctx.threads, on.ctx.scratch);
    };
    run();
    if (!is_right(in, w.view, rows<const float>(out))) return state.SkipWithError("the result is wrong");
    for (auto _ : state) run();
    const double runs = static_cast<double>(state.iterations()), bytes = static_cast<double>(w.memory.bytes().size()),
                 flop = 2. * static_cast<double>(tokens * width * count);
    using counter = benchmark::Counter;
    state.counters["GB/s"] = counter(bytes * runs / 1e9, counter::kIsRate);
    state.counters["GFLOP/s"] = counter(flop * runs / 1e9, counter::kIsRate);
    state.counters["of_bandwidth"] = counter(bytes * runs / on.bandwidth, counter::kIsRate);
    state.counters["of_peak"] = counter(flop * runs / on.peak, counter::kIsRate);
}

/// Attention of range(0) query tokens over range(1) keys: Gemma 2 2B with softcap and grouped heads, or the vision tower with head_dim 72.
/// With a bf16 cache the attention weights may be rounded to bf16. The error is then 1/256 of the largest value, which is below 1.
template <class Element>
void attention(benchmark::State& state) {
    const auto tokens = static_cast<std::size_t>(state.range(0)), keys = static_cast<std::size_t>(state.range(1));
    const bool tower = state.range(2) == 72;
    machine& on = here();
    const pali::kernels::attention_shape shape =
        tower ? pali::kernels::attention_shape{.heads = 16, .kv_heads = 16, .head_dim = 72, .scale = 0.125f}
              : pali::kernels::attention_shape{.heads = 8, .kv_heads = 4, .head_dim = 256, .scale = 1.f / 16, .softcap = 50};
    const std::size_t width = shape.heads * shape.head_dim, head_dim = shape.head_dim;
    const auto q = random(tokens * width, 1), k = random(keys * head_dim, 2), v = random(keys * head_dim, 3);
    pali::core::aligned_vector<float> out(tokens * width);
    using key_values = pali::kernels::key_values<Element>;
    pali::core::aligned_vector<Element> memory(key_values::elements(shape.kv_heads, keys, head_dim));
    const key_values seen{memory.data(), keys, head_dim};
    for (std::size_t head = 0; head < shape.kv_heads; ++head)
        for (std::size_t t = 0; t < keys; ++t) seen.put(head, t, {k.data() + t * head_dim, head_dim}, {v.data() + t * head_dim, head_dim});
    const pali::kernels::prefix_mask all{.prefix = keys};
    const auto run = [&] {
        pali::kernels::attend(shape, rows<const float>(q.data(), tokens, width), seen, all, rows<float>(out.data(), tokens, width),
                              tokens == 1 ? pali::core::pass::step : pali::core::pass::prefill, on.ctx.threads, on.ctx.scratch);
    };
    run();
    std::vector<double> want(width);
    pali::kernels::reference::attention(shape, rows<const float>(q.data(), 1, width), seen, all, rows<double>(want.data(), 1, width));
    for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::abs(want[i] - static_cast<double>(out[i])) < (std::is_same_v<Element, float> ? 1e-4 : 4e-3)))
            return state.SkipWithError("the result is wrong");
    for (auto _ : state) run();
    const double runs = static_cast<double>(state.iterations()), flop = 4. * static_cast<double>(tokens * keys * width),
                 bytes = static_cast<double>(memory.size() * sizeof(Element));
    using counter = benchmark::Counter;
    state.counters["GFLOP/s"] = counter(flop * runs / 1e9, counter::kIsRate);
    state.counters["of_peak"] = counter(flop * runs / on.peak, counter::kIsRate);
    state.counters["of_bandwidth"] = counter(bytes * runs / on.bandwidth, counter::kIsRate);
}

/// Fork-join latency of the thread pool, in seconds: run() with empty work.
void thread_join(benchmark::State& state) {
    machine& on = here();
    for (auto _ : state) on.ctx.threads.run(on.ctx.threads.size(), [](std::size_t i) { benchmark::DoNotOptimize(i); });
}

void sizes(benchmark::internal::Benchmark* one) {
    // rows: a decode step of 1 and of 8 requests, a prefill; matrices: MLP up and down projection, a slice of the LM head
    for (const std::int64_t tokens : {1, 8, 264})
        for (const auto& [width, count] : {std::pair<std::int64_t, std::int64_t>{2304, 9216}, {9216, 2304}, {2304, 65536}})
            if (tokens < 264 || count < 65536) one->Args({tokens, width, count});
    one->ArgNames({"tokens", "width", "count"})->UseRealTime()->Unit(benchmark::kMillisecond);
}

void attentions(benchmark::internal::Benchmark* one) {
    // {tokens, keys}: prefills and decode steps; then images of 224, 448 and 896 px
    for (const auto& [tokens, keys] : {std::pair<std::int64_t, std::int64_t>{264, 264}, {1024, 1024}, {1, 264}, {1, 1024}, {1, 4096}})
        one->Args({tokens, keys, 256});
    for (const std::int64_t tokens : {256, 1024, 4096}) one->Args({tokens, tokens, 72});
    one->ArgNames({"tokens", "keys", "head_dim"})->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(product<pali::f32>)->Apply(sizes);
BENCHMARK(product<pali::bf16>)->Apply(sizes);
BENCHMARK(product<pali::int8>)->Apply(sizes);
BENCHMARK(product<pali::int4>)->Apply(sizes);
BENCHMARK(attention<float>)->Apply(attentions);
BENCHMARK(attention<pali::core::bfloat16>)->Apply(attentions);
BENCHMARK(thread_join)->UseRealTime()->Unit(benchmark::kMicrosecond);

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::AddCustomContext("instruction_set", pali::arch::simd<>::name());
    benchmark::AddCustomContext("threads", std::to_string(here().ctx.threads.size()));
    benchmark::AddCustomContext("bandwidth_gb_per_s", std::to_string(here().bandwidth / 1e9));
    benchmark::AddCustomContext("peak_gflop_per_s", std::to_string(here().peak / 1e9));
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
