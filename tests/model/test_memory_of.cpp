// Compares the calculated memory of a model with the memory that it takes: loaded weights, the KV cache, and the arena after an image, a
// prefill and a decode step.
#include "cases.hpp"

#include <pali/arch/cpu_caches.hpp>
#include <pali/arch/dispatch.hpp>
#include <pali/config/registry.hpp>
#include <pali/model/memory_of.hpp>
#include <pali/model/network.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

namespace bdata = boost::unit_test::data;
using namespace pali::test;

// memory_of() is a constant expression, which tells the memory of a model before a machine is bought.
constexpr pali::memory_size of_3b = pali::memory_of<pali::paligemma2_3b_224, pali::int4>(300, {.kv_cache = pali::kv_type::bf16});
static_assert(of_3b.total() < 2'500'000'000 && of_3b.total() == of_3b.weights + of_3b.kv_cache + of_3b.scratch);
static_assert(pali::compiled_config<pali::paligemma2_3b_224> && pali::compiled_config<pali::shapes>);
static_assert(!pali::compiled_config<pali::dynamic>, "has no sizes before config.json is read");

/// The kernels that this process uses.
pali::model_detail::memory_kernels kernels_in_use() {
    const pali::arch::features& has = pali::kernels::active().usable();
    const pali::arch::level which = pali::arch::selected().level->which;
    return {.lanes = which == pali::arch::level::x86_64_v4   ? std::size_t{16}
                     : which == pali::arch::level::x86_64_v3 ? 8
                                                             : 4,
            .bytes = has.avx2 || has.avx_vnni || has.avx512_vnni,
            .avx512_bf16 = has.avx512_bf16,
            .amx = has.amx_bf16,
            .l1_bytes = pali::arch::caches().l1};
}

/// Within 5 %.
void check_near(std::size_t calculated, std::size_t measured, const std::string& what) {
    const double ratio = static_cast<double>(calculated) / static_cast<double>(measured);
    BOOST_TEST_MESSAGE(what << ": calculated " << calculated << ", measured " << measured << ", ratio " << ratio);
    BOOST_CHECK_MESSAGE(ratio > 0.95 && ratio < 1.05, what << ": calculated " << calculated << ", measured " << measured);
}

/// Checks the parts and their sum, and that the memory for all kernels is an upper bound.
template <class Config, class Weights>
void check(const Config& config, std::size_t tokens, pali::memory_options options, const pali::memory_size& measured,
           const std::string& name) {
    const pali::memory_size bound = pali::memory_of<Config, Weights>(config, tokens, options);
    options.kernels = kernels_in_use();
    const pali::memory_size exact = pali::memory_of<Config, Weights>(config, tokens, options);
    const std::string about = name + ", " + Weights::name + ", ";
    check_near(exact.weights, measured.weights, about + "weights");
    check_near(exact.kv_cache, measured.kv_cache, about + "KV cache");
    check_near(exact.scratch, measured.scratch, about + "scratch");
    check_near(exact.total(), measured.total(), about + "total");
    BOOST_CHECK_MESSAGE(bound.scratch >= measured.scratch, about << "bound " << bound.scratch << ", measured " << measured.scratch);
    BOOST_TEST((bound.weights == exact.weights && bound.kv_cache == exact.kv_cache));
}

/// Counts the bytes of tensors in their storage.
struct byte_counter {
    std::size_t& bytes;
    bool tied;

    byte_counter operator[](const std::string&) const { return *this; }
    template <class Element>
    void matrix(const std::string&, pali::core::rows<const Element>&, const std::vector<std::size_t>& shape) const {
        std::size_t numbers = 1;
        for (const std::size_t side : shape) numbers *= side;
        bytes += numbers * sizeof(Element);
    }
    template <std::size_t Bits>
    void matrix(const std::string&, pali::core::quantized_rows<Bits>&, const std::vector<std::size_t>& shape) const {
        for (const auto& part : {pali::core::quantized_rows<Bits>::codes_shape(shape[0], shape[1])}) bytes += part[0] * part[1] * part[2];
        for (const auto& part : {pali::core::quantized_rows<Bits>::scales_shape(shape[0], shape[1])})
            bytes += part[0] * part[1] * part[2] * sizeof(pali::core::bfloat16);
    }
    void vocabulary(const std::string& name, auto& to, const std::vector<std::size_t>& shape) const { matrix(name, to, shape); }
    void vector(const std::string&, const float*&, std::size_t size) const { bytes += size * sizeof(float); }
    bool has(const std::string&) const { return true; }
    bool omits_or_repeats(const std::string&, const std::string&) const { return tied; }
};
static_assert(pali::weights::tensor_visitor<byte_counter>);

/// Makes every tensor a view of the same zeros, whose pages the system need not commit.
struct zeros {
    const std::byte* memory;

    zeros operator[](const std::string&) const { return *this; }
    template <class Element>
    void matrix(const std::string&, pali::core::rows<const Element>& to, const std::vector<std::size_t>& shape) const {
        std::size_t width = 1;
        for (std::size_t i = 1; i < shape.size(); ++i) width *= shape[i];
        to = {reinterpret_cast<const Element*>(memory), shape[0], width};
    }
    template <std::size_t Bits>
    void matrix(const std::string&, pali::core::quantized_rows<Bits>& to, const std::vector<std::size_t>& shape) const {
        to = {reinterpret_cast<const std::uint8_t*>(memory), reinterpret_cast<const pali::core::bfloat16*>(memory),
              pali::core::quantized_rows<Bits>::padded(shape[0]), shape[1]};
    }
    void vocabulary(const std::string& name, auto& to, const std::vector<std::size_t>& shape) const { matrix(name, to, shape); }
    void vector(const std::string&, const float*& to, std::size_t) const { to = reinterpret_cast<const float*>(memory); }
    bool has(const std::string&) const { return true; }
    bool omits_or_repeats(const std::string&, const std::string&) const { return true; }
};
static_assert(pali::weights::tensor_visitor<zeros>);

/// Bytes of the KV cache and the arena after an image, a prefill and a decode step, which run as in pali::model. `net` has the weights.
template <class Modules>
pali::memory_size run(Modules& net, pali::core::context& ctx, std::size_t tokens, std::size_t answer, pali::kv_type type) {
    const auto& config = net.config;
    const auto go_on = [](std::size_t, const auto&) { return true; };
    const std::vector<float> pixels(3 * config.vision.image_size * config.vision.image_size);
    {
        const pali::core::arena::frame frame(ctx.scratch);
        (void)net.project(net.vision(pixels.data(), ctx, go_on), ctx);
    }
    pali::nn::kv_cache cache(config, tokens, type);
    net.decoder.extend(tokens);
    cache.start(tokens - answer);
    for (const std::size_t count : {tokens - answer, std::size_t{answer > 0}}) {
        if (count == 0) continue;
        if (count == 1) cache.advance(tokens - 1 - cache.length()); // skips to the last step
        const pali::core::arena::frame frame(ctx.scratch);
        pali::matrix_view x = ctx.take(count, config.hidden);
        std::fill_n(x.data(), x.size(), 0.f);
        const pali::nn::sequence whole{.cache = &cache, .first = 0, .count = count};
        net.decoder(x, std::span(&whole, 1), count == 1 ? pali::core::pass::step : pali::core::pass::prefill, ctx, go_on);
        (void)net.decoder.uncapped_logits(net.decoder.normalise(pali::core::slice(x, count - 1, 1), ctx), ctx);
    }
    return {.kv_cache = cache.bytes(), .scratch = ctx.scratch.bytes()};
}

/// Loads a checkpoint resident and runs it.
template <class Weights>
void check_checkpoint(const std::filesystem::path& folder, pali::kv_type type, std::size_t threads, const std::string& name) {
    const pali::checkpoint_config read = pali::read_checkpoint_config(folder);
    const pali::files::checkpoint_files files(folder);
    pali::nn::network_modules<pali::dynamic, Weights> net(read.sizes);
    pali::weights::binder names(files.tensors(), folder.string());
    net.bind(names.root(), read.tied);
    pali::core::context ctx(threads);
    // The vectors of a float32 file are used in place, so they are missing here: up to 5 % of the smallest checkpoint.
    const pali::files::page_memory weights = names.finish(pali::residency::resident, ctx.threads, {});
    const bool has_head = net.decoder.head.weight.count != 0;

    const std::size_t tokens = pali::patch_count(read.sizes.vision) + 9, answer = 3;
    pali::memory_size measured = run(net, ctx, tokens, answer, type);
    measured.weights = weights.bytes().size();
    check<pali::dynamic, Weights>(read.sizes, tokens, {.kv_cache = type, .answer = answer, .threads = threads, .tied = !has_head}, measured,
                                  name);
}

/// Sizes of any model, with weights of zeros.
template <class Weights>
void check_sizes(const pali::dynamic& sizes, std::size_t tokens, const pali::memory_options& options, const std::string& name) {
    const std::size_t widest = std::max({sizes.vocab, sizes.intermediate, sizes.vision.intermediate, sizes.heads * sizes.head_dim}),
                      deepest = std::max({sizes.hidden, sizes.intermediate, sizes.vision.intermediate, sizes.vision.hidden,
                                          3 * sizes.vision.patch_size * sizes.vision.patch_size, sizes.heads * sizes.head_dim});
    const std::unique_ptr<void, void (*)(void*)> memory(std::calloc((widest + 8) * deepest * sizeof(float) + 64, 1), &std::free);
    void* at = memory.get();
    std::size_t room = static_cast<std::size_t>(-1);
    std::align(64, 1, at, room);

    pali::nn::network_modules<pali::dynamic, Weights> net(sizes);
    std::size_t bytes = 0;
    net.bind(byte_counter{bytes, options.tied}, options.tied);
    net.bind(zeros{static_cast<const std::byte*>(at)}, true);
    pali::core::context ctx(options.threads);
    pali::memory_size measured = run(net, ctx, tokens, options.answer, options.kv_cache);
    measured.weights = bytes;
    check<pali::dynamic, Weights>(sizes, tokens, options, measured, name);
}

/// The sizes of a released model with one layer and a smaller vocabulary.
pali::dynamic one_layer_of(pali::dynamic sizes) {
    sizes.layers = sizes.vision.layers = 1;
    sizes.vocab = 4099;
    return sizes;
}

template <class Weights>
void check_counts(const std::string& variant) {
    pali::with_config(variant, [&](auto config) {
        for (const bool tied : {true, false}) {
            std::size_t bytes = 0;
            pali::nn::network_modules<pali::dynamic, Weights> net(pali::config_detail::sizes_of(config));
            net.bind(byte_counter{bytes, tied}, tied);
            constexpr pali::memory_size calculated = pali::memory_of<decltype(config), Weights>(300);
            constexpr pali::memory_size untied = pali::memory_of<decltype(config), Weights>(300, {.tied = false});
            check_near(tied ? calculated.weights : untied.weights, bytes, variant + ", " + Weights::name + (tied ? "" : ", untied"));
            check_near(calculated.kv_cache, pali::nn::kv_cache(config, 300).bytes(), variant + ", KV cache");
        }
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(memory)

BOOST_DATA_TEST_CASE(of_a_tiny_checkpoint, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    for (const std::size_t threads : {1u, 2u, 5u}) {
        check_checkpoint<pali::f32>(tiny.folder(), pali::kv_type::f32, threads, name);
        check_checkpoint<pali::bf16>(tiny.folder(), pali::kv_type::bf16, threads, name);
    }
}

BOOST_AUTO_TEST_CASE(of_the_embedded_model) {
    const auto folder = source_path("examples/models/shapes");
    for (const pali::kv_type type : {pali::kv_type::f32, pali::kv_type::bf16}) {
        check_checkpoint<pali::f32>(folder, type, 2, "shapes");
        check_checkpoint<pali::bf16>(folder, type, 2, "shapes");
        check_checkpoint<pali::int8>(folder, type, 2, "shapes");
        check_checkpoint<pali::int4>(folder, type, 2, "shapes");
    }
}

BOOST_AUTO_TEST_CASE(of_a_layer_of_real_width) {
    const pali::dynamic second = one_layer_of(pali::config_detail::sizes_of(pali::paligemma2_3b_224{})),
                        first = one_layer_of(pali::config_detail::sizes_of(pali::paligemma_3b_224{}));
    check_sizes<pali::f32>(second, 274, {.answer = 10, .threads = 2}, "PaliGemma 2 3B");
    check_sizes<pali::bf16>(second, 274, {.answer = 10, .threads = 2}, "PaliGemma 2 3B");
    check_sizes<pali::int8>(second, 274, {.answer = 10, .threads = 2}, "PaliGemma 2 3B");
    check_sizes<pali::int4>(second, 274, {.kv_cache = pali::kv_type::bf16, .answer = 10, .threads = 3}, "PaliGemma 2 3B");
    check_sizes<pali::bf16>(first, 264, {.threads = 4}, "PaliGemma 3B");
}

// Sizes that no released model has: sequences that pass the MLP in parts, keys that are split into parts, heads of any width.
BOOST_AUTO_TEST_CASE(of_any_sizes) {
    std::mt19937 random(24);
    const auto any = [&](std::size_t first, std::size_t last) { return std::uniform_int_distribution<std::size_t>(first, last)(random); };
    for (int i = 0; i < 24; ++i) {
        pali::dynamic sizes = pali::config_detail::sizes_of(pali::shapes{});
        sizes.layers = any(1, 3);
        sizes.windows.assign(sizes.layers, 0);
        sizes.vision = {.image_size = 14 * any(1, 12),
                        .patch_size = 14,
                        .hidden = 0,
                        .layers = any(1, 2),
                        .intermediate = any(10, 300),
                        .heads = any(1, 4)};
        sizes.vision.hidden = sizes.vision.heads * any(5, 60);
        sizes.hidden = 64 * any(1, 24); // from 1088 on, rows exceed an L1 of 32 KiB
        sizes.intermediate = 64 * any(1, 8);
        sizes.kv_heads = any(1, 3);
        sizes.heads = sizes.kv_heads * any(1, 3);
        sizes.head_dim = 64;
        sizes.vocab = any(300, 3000);
        sizes.post_norms = any(0, 1) == 1;
        const std::size_t tokens = i % 4 == 0 ? any(1025, 2500) : any(20, 700);
        const pali::memory_options options{.kv_cache = i % 2 == 0 ? pali::kv_type::f32 : pali::kv_type::bf16,
                                           .answer = any(0, 12),
                                           .threads = any(1, 9),
                                           .tied = any(0, 1) == 1};
        const std::string name = "any sizes, " + std::to_string(i);
        if (i % 8 < 3) check_sizes<pali::f32>(sizes, tokens, options, name);
        else if (i % 8 < 6) check_sizes<pali::bf16>(sizes, tokens, options, name);
        else if (i % 8 < 7) check_sizes<pali::int8>(sizes, tokens, options, name);
        else check_sizes<pali::int4>(sizes, tokens, options, name);
    }
}

BOOST_AUTO_TEST_CASE(of_released_variants) {
    for (const std::string_view variant : pali::variant_names()) {
        check_counts<pali::f32>(std::string(variant));
        check_counts<pali::bf16>(std::string(variant));
        check_counts<pali::int8>(std::string(variant));
        check_counts<pali::int4>(std::string(variant));
    }
}

BOOST_AUTO_TEST_SUITE_END()
