// Scratch memory of the kernels for tiles. Compares the calculation of memory_of() with measurements on emulated tiles.
#include "emulated_tiles.hpp"
#include "numbers.hpp"

#include <pali/kernels/attention/rows_tiles.hpp>
#include <pali/kernels/product/loop_tiles.hpp>
#include <pali/model/scratch_passes.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <vector>

namespace {

using pali::core::bfloat16;
using pali::core::rows;
using pali::test::emulated_tiles;
namespace kernels = pali::kernels;

pali::model_detail::scratch_passes<pali::bf16> with_tiles(std::size_t threads) { return {{.lanes = 16, .amx = true}, threads}; }

/// Multiplies by two operands in one call. Returns the bytes of scratch memory.
std::size_t product(std::size_t tokens, std::size_t width, std::size_t outputs, std::size_t threads) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    const pali::core::aligned_vector<float> x(tokens * width);
    const std::vector<bfloat16> w(outputs * width);
    pali::core::aligned_vector<float> y(tokens * outputs), z(tokens * (outputs / 2));
    kernels::loop_tiles(
        emulated_tiles{}, rows<const float>(x.data(), tokens, width),
        {kernels::operand{rows<const bfloat16>(w.data(), outputs, width), nullptr, rows<float>(y.data(), tokens, outputs)},
         kernels::operand{rows<const bfloat16>(w.data(), outputs / 2, width), nullptr, rows<float>(z.data(), tokens, outputs / 2)}},
        [](const auto& weights) { return kernels::stored_panels{weights}; }, pool, scratch);
    return scratch.bytes();
}

std::size_t attention(std::size_t heads, std::size_t kv_heads, std::size_t head_dim, std::size_t tokens, std::size_t threads) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    const std::size_t width = heads * head_dim;
    const pali::core::aligned_vector<float> q(tokens * width);
    pali::core::aligned_vector<float> out(tokens * width);
    pali::core::aligned_vector<bfloat16> cache(kernels::key_values<bfloat16>::elements(kv_heads, tokens, head_dim));
    kernels::loop_keys<kernels::rows_tiles<emulated_tiles>>(
        pali::arch::native, {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim}, rows<const float>(q.data(), tokens, width),
        kernels::key_values<bfloat16>{cache.data(), tokens, head_dim}, kernels::prefix_mask{.prefix = tokens},
        rows<float>(out.data(), tokens, width), pool, scratch);
    return scratch.bytes();
}

} // namespace

BOOST_AUTO_TEST_SUITE(tile_scratch, *boost::unit_test::precondition(pali::test::has_avx2))

// All sizes are above 1 MiB, the smallest allocation of an arena.
BOOST_AUTO_TEST_CASE(of_products_is_as_calculated) {
    for (const std::size_t threads : {1u, 3u, 8u})
        for (const std::size_t tokens : {100u, 530u})
            for (const std::size_t width : {588u, 2304u}) {
                auto calculated = with_tiles(threads);
                calculated.product<pali::bf16>(tokens, width, {130, 65}, pali::core::pass::prefill);
                BOOST_TEST(calculated.bytes() == product(tokens, width, 130, threads));
            }
}

BOOST_AUTO_TEST_CASE(of_attention_is_as_calculated) {
    for (const std::size_t threads : {4u, 40u}) // with many threads, the keys are split into parts
        for (const std::size_t tokens : {264u, 600u}) {
            auto calculated = with_tiles(threads);
            calculated.attend<bfloat16>({.heads = 8, .kv_heads = 4, .head_dim = 256}, tokens, tokens, pali::core::pass::prefill);
            BOOST_TEST(calculated.bytes() == attention(8, 4, 256, tokens, threads));
        }
}

BOOST_AUTO_TEST_SUITE_END()
