// Blocked attention against the reference, for every instruction set, grouping, range and awkward size.
#include "numbers.hpp"

#include <pali/decoder/mask.hpp>
#include <pali/kernels/attention.hpp>
#include <pali/kernels/reference.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <ostream>
#include <vector>

namespace {

using pali::rows;
namespace kernels = pali::kernels;

struct setting {
    std::size_t tokens, heads, kv_heads, head_dim, prefix, window;
    float softcap, scale;
    friend std::ostream& operator<<(std::ostream& out, const setting& s) {
        return out << s.tokens << " tokens, " << s.heads << "/" << s.kv_heads << " heads of " << s.head_dim << ", prefix " << s.prefix << ", window " << s.window << ", cap " << s.softcap;
    }
};

const setting settings[] = {
    {1, 1, 1, 16, 1, 0, 0, 0.25f},   {9, 4, 2, 18, 5, 0, 0, 0.3f},     {70, 8, 1, 10, 66, 0, 5, 1.f},    {130, 6, 3, 72, 130, 0, 0, 0.1f},
    {200, 4, 4, 48, 64, 0, 50, 2.f}, {150, 8, 4, 32, 100, 7, 3, 1.f}, {150, 2, 1, 256, 3, 64, 50, 0.5f}, {65, 16, 8, 24, 1, 1, 0, 1.f},
    {530, 8, 1, 40, 300, 0, 0, 0.5f}, {700, 4, 2, 16, 10, 260, 20, 1.f}, // more keys than a part; a window that begins inside one
};

/// Queries, and keys and values in the layout of a cache.
template <class Element>
struct problem {
    setting s;
    std::size_t depth = kernels::padded_head_dim<Element>(s.head_dim), capacity = s.tokens + 3;
    kernels::attention_shape shape{.heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim, .scale = s.scale, .softcap = s.softcap};
    pali::prefix_mask mask{.prefix = s.prefix, .window = s.window};
    pali::aligned_vector<float> q = pali::test::random(s.tokens * s.heads * s.head_dim, 1);
    pali::aligned_vector<Element> k = padded(2), v = padded(3);

    pali::aligned_vector<Element> padded(unsigned seed) const {
        auto values = pali::test::random<Element>(s.kv_heads * capacity * depth, seed);
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i % depth >= s.head_dim) values[i] = Element(0.f);
            if (i / depth % capacity >= s.tokens) values[i] = Element(std::numeric_limits<float>::quiet_NaN()); // nobody has written there yet
        }
        return values;
    }
    kernels::head_view<Element> view(const pali::aligned_vector<Element>& of) const { return {.data = of.data(), .token_stride = depth, .head_stride = capacity * depth}; }

    template <class Tag>
    pali::aligned_vector<float> run(Tag tag, std::size_t first, std::size_t count, std::size_t threads) const {
        pali::thread_pool pool(threads);
        pali::arena scratch;
        const std::size_t width = s.heads * s.head_dim;
        pali::aligned_vector<float> out(count * width, -1.f);
        kernels::attention(tag, shape, rows<const float>(q.data() + first * width, count, width), view(k), view(v), [&](std::size_t t) { return mask(first + t); },
                           rows<float>(out.data(), count, width), pool, scratch);
        return out;
    }
};

template <class Element>
void matches_the_reference(const setting& s) {
    const problem<Element> p{s};
    const std::size_t width = s.heads * s.head_dim;
    std::vector<double> want(s.tokens * width);
    kernels::reference::attention(p.shape, rows<const float>(p.q.data(), s.tokens, width), p.view(p.k), p.view(p.v), p.mask, rows<double>(want.data(), s.tokens, width));
    pali::test::for_every_arch([&](auto tag) { BOOST_TEST(pali::test::difference(p.run(tag, 0, s.tokens, 2), want) < 3e-6, decltype(tag)::name()); });
}

template <class Element>
void alone_as_among_others(const setting& s) {
    const problem<Element> p{s};
    const auto together = p.run(pali::arch::native, 0, s.tokens, 2);
    const std::size_t width = s.heads * s.head_dim;
    for (const std::size_t t : {std::size_t{0}, s.tokens / 2, s.tokens - 1})
        for (const std::size_t threads : {1u, 3u}) {
            const auto alone = p.run(pali::arch::native, t, 1, threads);
            BOOST_TEST((std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(t * width))), "token " << t << ", threads " << threads);
        }
}

} // namespace

BOOST_AUTO_TEST_SUITE(attention)

BOOST_DATA_TEST_CASE(matches_reference, boost::unit_test::data::make(settings), s) {
    matches_the_reference<float>(s);
    matches_the_reference<pali::bfloat16>(s);
}

BOOST_DATA_TEST_CASE(a_token_alone_has_the_bits_it_has_among_others, boost::unit_test::data::make(settings), s) {
    alone_as_among_others<float>(s);
    alone_as_among_others<pali::bfloat16>(s);
}

BOOST_AUTO_TEST_CASE(the_mask_is_the_one_of_the_papers) {
    // Rows see columns; the pictures of decoder/mask.hpp, of figure 2 of the PaliGemma paper, and a window that cuts into the prefix.
    const auto picture = [](pali::prefix_mask mask, std::size_t tokens) {
        std::string text;
        for (std::size_t t = 0; t < tokens; ++t) {
            const auto sees = mask(t);
            for (std::size_t s = 0; s < tokens; ++s) text += s >= sees.begin && s < sees.end ? 'x' : '.';
            text += ' ';
        }
        return text;
    };
    BOOST_TEST(picture({.prefix = 3, .window = 0}, 5) == "xxx.. xxx.. xxx.. xxxx. xxxxx ");
    BOOST_TEST(picture({.prefix = 3, .window = 2}, 5) == "xxx.. xxx.. xxx.. ..xx. ...xx ");
    BOOST_TEST(picture({.prefix = 0, .window = 0}, 3) == "x.. xx. xxx ");
    BOOST_TEST(picture({.prefix = 4, .window = 9}, 5) == "xxxx. xxxx. xxxx. xxxx. xxxxx ");
    BOOST_TEST(picture({.prefix = 1, .window = 1}, 3) == "x.. .x. ..x ");
}

BOOST_AUTO_TEST_SUITE_END()
