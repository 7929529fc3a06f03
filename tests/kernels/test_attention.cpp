// Compares blocked attention with the reference, for every instruction set, grouping and key range, and for odd sizes.
#include "emulated_tiles.hpp"
#include "numbers.hpp"

#include <pali/arch/cpu_features.hpp>
#include <pali/kernels/attention/rows_bf16_avx512.hpp>
#include <pali/kernels/attention/rows_tiles.hpp>
#include <pali/kernels/reference.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <cmath>
#include <limits>
#include <ostream>
#include <utility>
#include <vector>

namespace {

using pali::core::rows;
namespace kernels = pali::kernels;

struct setting {
    std::size_t tokens, heads, kv_heads, head_dim, prefix, window;
    float softcap, scale;
    friend std::ostream& operator<<(std::ostream& out, const setting& s) {
        return out << s.tokens << " tokens, " << s.heads << "/" << s.kv_heads << " heads of " << s.head_dim << ", prefix " << s.prefix
                   << ", window " << s.window << ", cap " << s.softcap;
    }
};

const setting settings[] = {
    {1, 1, 1, 16, 1, 0, 0, 0.25f},     {9, 4, 2, 18, 5, 0, 0, 0.3f},    {70, 8, 1, 10, 66, 0, 5, 1.f},
    {130, 6, 3, 72, 130, 0, 0, 0.1f},  {200, 4, 4, 48, 64, 0, 50, 2.f}, {150, 8, 4, 32, 100, 7, 3, 1.f},
    {150, 2, 1, 256, 3, 64, 50, 0.5f}, {65, 16, 8, 24, 1, 1, 0, 1.f},   {530, 8, 1, 40, 300, 0, 0, 0.5f},
    {700, 4, 2, 16, 10, 260, 20, 1.f}, // more keys than one block; a window that begins inside one
};

/// Queries, and keys and values in the layout of the KV cache.
template <class Element, class A, class... Arguments>
void attention(pali::arch::simd<A> tag, Arguments&&... arguments) {
    kernels::loop_keys<kernels::rows_simd<A, Element>>(tag, std::forward<Arguments>(arguments)...);
}

template <class Element>
struct problem {
    setting s;
    std::size_t capacity = s.tokens + 3;
    kernels::attention_shape shape{
        .heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim, .scale = s.scale, .softcap = s.softcap};
    kernels::prefix_mask mask{.prefix = s.prefix, .window = s.window};
    pali::core::aligned_vector<float> q = pali::test::random(s.tokens * s.heads * s.head_dim, 1),
                                      k = pali::test::random(s.tokens * s.kv_heads * s.head_dim, 2),
                                      v = pali::test::random(s.tokens * s.kv_heads * s.head_dim, 3);
    pali::core::aligned_vector<Element> cache =
        pali::core::aligned_vector<Element>(numbers(), Element(std::numeric_limits<float>::quiet_NaN())); // uninitialized rows
    kernels::key_values<Element> seen{cache.data(), capacity, s.head_dim};

    explicit problem(const setting& s) : s(s) {
        for (std::size_t t = 0; t < s.tokens; ++t)
            for (std::size_t h = 0; h < s.kv_heads; ++h) {
                const std::size_t first = (t * s.kv_heads + h) * s.head_dim;
                seen.put(h, t, {k.data() + first, s.head_dim}, {v.data() + first, s.head_dim});
            }
    }
    std::size_t numbers() const { return kernels::key_values<Element>::elements(s.kv_heads, capacity, s.head_dim); }

    template <class Tag>
    pali::core::aligned_vector<float> run(Tag tag, std::size_t first, std::size_t count, std::size_t threads) const {
        pali::core::thread_pool pool(threads);
        pali::core::arena scratch;
        const std::size_t width = s.heads * s.head_dim;
        pali::core::aligned_vector<float> out(count * width, -1.f);
        kernels::prefix_mask from_first = mask;
        from_first.start = first;
        attention<Element>(tag, shape, rows<const float>(q.data() + first * width, count, width), seen, from_first,
                           rows<float>(out.data(), count, width), pool, scratch);
        return out;
    }
};

/// Tag for rows_tiles.
template <class Tiles>
struct by_tiles {};

template <class Element, class Tiles, class... Arguments>
void attention(by_tiles<Tiles>, Arguments&&... arguments) {
    kernels::loop_keys<kernels::rows_tiles<Tiles>>(pali::arch::native, std::forward<Arguments>(arguments)...);
}

#if defined(__x86_64__)
struct avx512_bf16 {}; // tag for rows_bf16_avx512

template <class Element, class... Arguments>
void attention(avx512_bf16, Arguments&&... arguments) {
    kernels::loop_keys<kernels::rows_bf16_avx512>(pali::arch::native, std::forward<Arguments>(arguments)...);
}
#endif

template <class Element>
void matches_the_reference(const setting& s) {
    const problem<Element> p(s);
    const std::size_t width = s.heads * s.head_dim;
    std::vector<double> want(s.tokens * width);
    kernels::reference::attention(p.shape, rows<const float>(p.q.data(), s.tokens, width), p.seen, p.mask,
                                  rows<double>(want.data(), s.tokens, width));
    pali::test::for_every_arch(
        [&](auto tag) { BOOST_TEST(pali::test::difference(p.run(tag, 0, s.tokens, 2), want) < 3e-6, decltype(tag)::name()); });
}

template <class Element, class Tag>
void alone_as_among_others(const setting& s, Tag tag) {
    const problem<Element> p(s);
    const auto together = p.run(tag, 0, s.tokens, 2);
    const std::size_t width = s.heads * s.head_dim;
    for (const std::size_t t : {std::size_t{0}, s.tokens / 2, s.tokens - 1})
        for (const std::size_t threads : {1u, 3u}) {
            const auto alone = p.run(tag, t, 1, threads);
            BOOST_TEST((std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(t * width))),
                       "token " << t << ", threads " << threads);
        }
}

/// With the same scaled and rounded queries, the reference has exactly the same scores. An attention weight loses at most 2^-9 of itself to
/// rounding, so the sum loses at most 2^-9 of the largest value, which is below 1.
template <class Tag>
void stays_within_rounding_of_the_weights(const setting& s, Tag tag) {
    problem<pali::core::bfloat16> p(s);
    const std::size_t width = s.heads * s.head_dim;
    const auto got = p.run(tag, 0, s.tokens, 2);
    for (float& x : p.q) x = static_cast<float>(pali::core::bfloat16(x * s.scale));
    p.shape.scale = 1;
    std::vector<double> want(s.tokens * width);
    kernels::reference::attention(p.shape, rows<const float>(p.q.data(), s.tokens, width), p.seen, p.mask,
                                  rows<double>(want.data(), s.tokens, width));
    double worst = 0;
    for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
    BOOST_TEST(worst < 1. / 512 + 1e-5);
    BOOST_TEST((worst > 0 || s.tokens == 1 || s.window == 1)); // proves that weights were rounded; the weight of a single key is exact
}

/// Computes y · decay + p · v in integers, for which every sum is exact. So each output must use exactly its own elements. The values after
/// the last row of v would spoil every sum.
template <class Tiles>
void adds_whole_numbers_exactly() {
    using kernel = kernels::rows_tiles<Tiles>;
    const auto whole = [](std::size_t i) { return static_cast<float>(i * 37 % 15) - 7; };
    for (const std::size_t n : {1u, 16u, 17u, 32u})
        for (const std::size_t terms : {1u, 10u, 31u, 32u, 33u, 64u, 72u})
            for (const std::size_t width : {16u, 64u, 80u, 256u}) {
                pali::core::aligned_vector<pali::core::bfloat16> p(32 * 96),
                    v(98 * width, pali::core::bfloat16(std::numeric_limits<float>::quiet_NaN()));
                pali::core::aligned_vector<float> y(32 * width), memory(kernel::weigher::floats(width)), decay(n);
                const kernels::paired_rows<pali::core::bfloat16> values{v.data(), width};
                for (std::size_t j = 0; j < terms; ++j)
                    for (std::size_t c = 0; c < width; ++c) values.at(j, c) = pali::core::bfloat16(whole(3 * j + 5 * c));
                std::vector<float> want(n * width), once(n * width);
                for (std::size_t r = 0; r < n; ++r) {
                    std::vector<float> row(terms);
                    for (std::size_t j = 0; j < terms; ++j) row[j] = whole(7 * r + j);
                    kernel::pack(row.data(), terms, p.data() + r * 96);
                    decay[r] = r % 3 == 0 ? 1.f : 2.f;
                    for (std::size_t c = 0; c < width; ++c) {
                        y[r * width + c] = whole(r + c);
                        for (std::size_t j = 0; j < terms; ++j) once[r * width + c] += row[j] * static_cast<float>(values.at(j, c));
                        want[r * width + c] = whole(r + c) * decay[r] + once[r * width + c];
                    }
                }
                const rows<const pali::core::bfloat16> weights(p.data(), n, terms, 96);
                const typename kernel::weigher weigh(memory.data());
                weigh(weights, values, decay.data(), rows<float>(y.data(), n, width));
                BOOST_TEST((std::equal(want.begin(), want.end(), y.begin())), n << " rows, " << terms << " terms, " << width << " columns");
                weigh(weights, values, nullptr, rows<float>(y.data(), n, width));
                BOOST_TEST((std::equal(once.begin(), once.end(), y.begin())),
                           n << " rows, " << terms << " terms, " << width << " columns, no decay");
            }
}

} // namespace

BOOST_AUTO_TEST_SUITE(attention)

BOOST_DATA_TEST_CASE(matches_reference, boost::unit_test::data::make(settings), s) {
    matches_the_reference<float>(s);
    matches_the_reference<pali::core::bfloat16>(s);
}

BOOST_DATA_TEST_CASE(a_token_alone_has_the_bits_it_has_among_others, boost::unit_test::data::make(settings), s) {
    alone_as_among_others<float>(s, pali::arch::native);
    alone_as_among_others<pali::core::bfloat16>(s, pali::arch::native);
#if defined(__x86_64__)
    if (pali::arch::detected().avx512_bf16) alone_as_among_others<pali::core::bfloat16>(s, avx512_bf16{});
#endif
}

#if defined(__x86_64__)
BOOST_DATA_TEST_CASE(avx512_stays_within_rounding_of_the_weights, boost::unit_test::data::make(settings), s) {
    if (pali::arch::detected().avx512_bf16) stays_within_rounding_of_the_weights(s, avx512_bf16{});
}
#endif

BOOST_AUTO_TEST_SUITE(tiles, *boost::unit_test::precondition(pali::test::has_avx2))

BOOST_DATA_TEST_CASE(stay_within_rounding_of_the_weights, boost::unit_test::data::make(settings), s) {
    stays_within_rounding_of_the_weights(s, by_tiles<pali::test::emulated_tiles>{});
    BOOST_TEST(pali::test::emulated_tiles::faults == 0);
    BOOST_TEST(pali::test::emulated_tiles::held == 0);
}

BOOST_DATA_TEST_CASE(give_a_token_alone_the_bits_it_has_among_others, boost::unit_test::data::make(settings), s) {
    alone_as_among_others<pali::core::bfloat16>(s, by_tiles<pali::test::emulated_tiles>{});
}

BOOST_AUTO_TEST_CASE(add_whole_numbers_exactly) { adds_whole_numbers_exactly<pali::test::emulated_tiles>(); }

#if defined(__x86_64__)
BOOST_AUTO_TEST_SUITE(of_the_processor, *boost::unit_test::precondition(pali::test::has_tiles))

BOOST_DATA_TEST_CASE(stay_within_rounding_of_the_weights, boost::unit_test::data::make(settings), s) {
    stays_within_rounding_of_the_weights(s, by_tiles<pali::arch::amx_tiles>{});
}

BOOST_DATA_TEST_CASE(give_a_token_alone_the_bits_it_has_among_others, boost::unit_test::data::make(settings), s) {
    alone_as_among_others<pali::core::bfloat16>(s, by_tiles<pali::arch::amx_tiles>{});
}

BOOST_AUTO_TEST_CASE(add_whole_numbers_exactly) { adds_whole_numbers_exactly<pali::arch::amx_tiles>(); }

BOOST_AUTO_TEST_SUITE_END()
#endif

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(the_mask_is_the_one_of_the_papers) {
    // Rows attend to columns. Tests the masks drawn in kernels/attention/prefix_mask.hpp, the mask of figure 2 of the PaliGemma paper, and
    // a window that begins inside the prefix.
    const auto image = [](kernels::prefix_mask mask, std::size_t tokens) {
        std::string text;
        for (std::size_t t = 0; t < tokens; ++t) {
            const auto sees = mask(t);
            for (std::size_t s = 0; s < tokens; ++s) text += s >= sees.begin && s < sees.end ? 'x' : '.';
            text += ' ';
        }
        return text;
    };
    BOOST_TEST(image({.prefix = 3, .window = 0}, 5) == "xxx.. xxx.. xxx.. xxxx. xxxxx ");
    BOOST_TEST(image({.prefix = 3, .window = 2}, 5) == "xxx.. xxx.. xxx.. ..xx. ...xx ");
    BOOST_TEST(image({.prefix = 0, .window = 0}, 3) == "x.. xx. xxx ");
    BOOST_TEST(image({.prefix = 4, .window = 9}, 5) == "xxxx. xxxx. xxxx. xxxx. xxxxx ");
    BOOST_TEST(image({.prefix = 1, .window = 1}, 3) == "x.. .x. ..x ");
}

BOOST_AUTO_TEST_SUITE_END()
