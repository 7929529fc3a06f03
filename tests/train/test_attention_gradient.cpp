// Gradients of attention, for every instruction set, grouping and mask, and for odd sizes.
#include "gradients.hpp"

#include <pali/kernels/reference.hpp>
#include <pali/train/kernels/attention_gradient.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <array>
#include <ostream>

namespace {

using namespace pali::test;
using pali::core::rows;
namespace train = pali::train;
namespace kernels = pali::kernels;

struct setting {
    std::size_t queries, keys, heads, kv_heads, head_dim, prefix, window;
    float softcap, scale;
    friend std::ostream& operator<<(std::ostream& out, const setting& s) {
        return out << s.queries << " queries, " << s.keys << " keys, " << s.heads << "/" << s.kv_heads << " heads of " << s.head_dim
                   << ", prefix " << s.prefix << ", window " << s.window << ", cap " << s.softcap;
    }
};

// Blocks have 48 queries and 64 keys.
const setting settings[] = {
    {1, 1, 1, 1, 16, 1, 0, 0, 0.25f},           {9, 9, 4, 2, 16, 5, 0, 0, 0.3f},       {5, 5, 2, 1, 18, 0, 0, 0, 0.5f},
    {65, 65, 2, 2, 72, 65, 0, 0, 0.1179f},      {70, 70, 2, 1, 72, 66, 0, 5, 0.3f},    {53, 53, 8, 4, 16, 20, 7, 3, 0.5f},
    {60, 60, 2, 1, 256, 3, 16, 50, 0.0625f},    {150, 150, 4, 1, 16, 90, 30, 2, 0.5f}, {130, 130, 2, 1, 16, 1, 2, 0, 1.f},
    {40, 110, 4, 2, 16, 30, 0, 4, 0.5f},   // the queries are the last tokens, the keys of the others were stored before
    {20, 220, 2, 1, 24, 100, 70, 0, 0.3f}, // and the first keys are outside the window
    {100, 100, 8, 4, 256, 88, 64, 50, 0.0625f},
};

struct problem {
    setting s;
    kernels::attention_shape shape{
        .heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim, .scale = s.scale, .softcap = s.softcap};
    kernels::prefix_mask mask{.prefix = s.prefix, .window = s.window, .start = s.keys - s.queries};
    std::size_t width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
    floats q = random(s.queries * width, 1, 2.f), k = random(s.keys * kv_width, 2), v = random(s.keys * kv_width, 3),
           dout = random(s.queries * width, 4);

    struct gradients {
        floats q, k, v;
        friend bool operator==(const gradients&, const gradients&) = default;
    };
    template <class Tag>
    gradients run(Tag tag, std::size_t threads) const {
        gradients d{floats(q.size(), NAN), floats(k.size(), NAN), floats(v.size(), NAN)};
        workplace at(threads);
        { // leaves NaN in the scratch memory
            const pali::core::arena::frame frame(at.scratch);
            float* const memory = at.scratch.take(1 << 20);
            std::fill(memory, memory + (1 << 20), NAN);
        }
        train::attention_backward(tag, shape, matrix_of(q, width), matrix_of(k, kv_width), matrix_of(v, kv_width), mask,
                                  matrix_of(dout, width), matrix_of(d.q, width), matrix_of(d.k, kv_width), matrix_of(d.v, kv_width),
                                  at.threads, at.scratch);
        return d;
    }
    double loss(const doubles& queries, const doubles& keys, const doubles& values) const {
        doubles out(queries.size());
        const auto element = [&](const doubles& of) {
            return [&](std::size_t head, std::size_t token, std::size_t d) { return of[token * kv_width + head * s.head_dim + d]; };
        };
        kernels::reference::attention(shape, matrix_of(queries, width), element(keys), element(values), mask, matrix_of(out, width));
        return dot(out, dout);
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(attention_gradient)

BOOST_DATA_TEST_CASE(is_that_of_the_reference, boost::unit_test::data::make(settings), s) {
    const problem p(s);
    // Scores of 256 elements are a few units, so p has a relative error of some 1e-6.
    constexpr double tolerance = 1e-5;
    const doubles q = widened(p.q), k = widened(p.k), v = widened(p.v);
    for_every_arch([&](auto tag) {
        const std::string arch = decltype(tag)::name();
        const auto d = p.run(tag, 1);
        BOOST_TEST((d == p.run(tag, 3)), arch << ": bits depend on threads");
        if (s.keys > 1) { // the weight of a single key does not depend on its score
            check_gradient(arch + " q", p.q, d.q, tolerance, [&](const doubles& x) { return p.loss(x, k, v); }, 12);
            check_gradient(arch + " k", p.k, d.k, tolerance, [&](const doubles& x) { return p.loss(q, x, v); }, 12);
        }
        check_gradient(arch + " v", p.v, d.v, tolerance, [&](const doubles& x) { return p.loss(q, k, x); }, 12);
    });
}

/// With a gradient at the output of one query alone, exactly the keys that it sees get a gradient.
BOOST_DATA_TEST_CASE(of_a_hidden_key_is_zero, boost::unit_test::data::make(settings), s) {
    problem p(s);
    const floats all = p.dout;
    for (const std::size_t t : {std::size_t{0}, s.queries / 3, s.queries / 2, s.queries - 1}) {
        std::fill(p.dout.begin(), p.dout.end(), 0.f);
        std::copy_n(all.begin() + std::ptrdiff_t(t * p.width), p.width, p.dout.begin() + std::ptrdiff_t(t * p.width));
        const auto sees = p.mask(t);
        const auto d = p.run(pali::arch::native, 2);
        for (std::size_t key = 0; key < s.keys; ++key)
            for (const floats* const of : {&d.k, &d.v}) {
                const auto row = std::span(*of).subspan(key * p.kv_width, p.kv_width);
                const bool zero = std::all_of(row.begin(), row.end(), [](float x) { return x == 0; });
                const bool moves = key >= sees.begin && key < sees.end && (of == &d.v || sees.end - sees.begin > 1);
                if (zero == moves) BOOST_ERROR("query " << t << ", key " << key << (of == &d.k ? " (k)" : " (v)"));
            }
        for (std::size_t other = 0; other < s.queries; ++other) {
            const auto row = std::span(d.q).subspan(other * p.width, p.width);
            BOOST_TEST((other == t || std::all_of(row.begin(), row.end(), [](float x) { return x == 0; })), "query " << other);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
