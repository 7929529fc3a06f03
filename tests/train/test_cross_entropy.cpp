// The loss and its gradients, with softcap and label smoothing.
#include "gradients.hpp"

#include <pali/generate/log_softmax.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/train/kernels/cross_entropy.hpp>

#include <array>
#include <cstdint>

namespace {

using namespace pali::test;
using pali::core::bfloat16;
using pali::core::rows;
namespace train = pali::train;

struct setting {
    std::size_t count, vocabulary, width;
    float softcap, smoothing;
};
// A block of the vocabulary has 2048 tokens.
const setting settings[] = {{1, 5, 7, 0, 0},       {3, 37, 16, 0, 0.2f},   {9, 300, 33, 3, 0},       {2, 2048, 24, 2, 0.3f},
                            {12, 2500, 48, 30, 0}, {5, 5001, 40, 3, 0.1f}, {20, 4096 + 70, 16, 0, 0}};

template <class Element>
struct problem {
    setting s;
    floats hidden = random(s.count * s.width, 1, 2.f);
    pali::core::aligned_vector<Element> head = random<Element>(s.vocabulary * s.width, 2);
    std::vector<std::int32_t> targets;
    train::cross_entropy_options options{.softcap = s.softcap, .smoothing = s.smoothing};

    explicit problem(const setting& of) : s(of) {
        for (std::size_t r = 0; r < s.count; ++r) targets.push_back(static_cast<std::int32_t>((r * 977 + s.vocabulary - 1) % s.vocabulary));
        for (float& x : hidden) x = static_cast<float>(bfloat16(x)); // products with bfloat16 weights may round their input
    }
    rows<const Element> weights() const { return {head.data(), s.vocabulary, s.width}; }

    struct results {
        floats losses, dh, dhead;
        friend bool operator==(const results&, const results&) = default;
    };
    template <class Tag>
    results run(Tag tag, std::size_t threads, const floats& before, bool train_hidden = true, bool train_head = true) const {
        results r{floats(s.count, NAN), floats(train_hidden ? hidden.size() : 0, NAN), train_head ? before : floats{}};
        workplace at(threads);
        train::cross_entropy(tag, matrix_of(hidden, s.width), weights(), targets, options, r.losses, matrix_of(r.dh, s.width),
                             matrix_of(r.dhead, s.width), at.threads, at.scratch);
        return r;
    }
    doubles losses(const doubles& h, const doubles& w) const {
        doubles z(s.count * s.vocabulary), loss;
        pali::kernels::reference::matmul(matrix_of(h, s.width), matrix_of(w, s.width), nullptr, matrix_of(z, s.vocabulary));
        if (s.softcap > 0)
            for (double& x : z) x = pali::kernels::reference::softcap(x, static_cast<double>(s.softcap));
        for (std::size_t r = 0; r < s.count; ++r)
            loss.push_back(pali::kernels::reference::cross_entropy(z.data() + r * s.vocabulary, s.vocabulary,
                                                                   static_cast<std::size_t>(targets[r]), static_cast<double>(s.smoothing)));
        return loss;
    }
    double loss(const doubles& h, const doubles& w) const {
        double sum = 0;
        for (const double x : losses(h, w)) sum += x;
        return sum;
    }
};

template <class Element>
void gradients_match(const setting& s) {
    constexpr double tolerance = 5e-6;
    const problem<Element> p(s);
    floats head, before = random(p.head.size(), 3, 0.1f);
    for (const Element x : p.head) head.push_back(static_cast<float>(x));
    const doubles wide = widened(head), h = widened(p.hidden);
    for_every_arch([&](auto tag) {
        const std::string what = decltype(tag)::name() + " R " + std::to_string(s.count) + " V " + std::to_string(s.vocabulary);
        const auto got = p.run(tag, 1, before);
        BOOST_TEST((got == p.run(tag, 3, before)), what << ": bits depend on threads");
        BOOST_TEST((got.dh == p.run(tag, 1, before, true, false).dh), what << ": a frozen head changes dh");
        BOOST_TEST((got.losses == p.run(tag, 1, before, false, false).losses), what << ": losses alone");
        BOOST_TEST(difference(got.losses, p.losses(h, wide)) < 1e-6, what);
        check_gradient(what + " hidden", p.hidden, got.dh, tolerance, [&](const doubles& x) { return p.loss(x, wide); }, 8);
        check_gradient(what + " head", head, added(got.dhead, before), tolerance, [&](const doubles& w) { return p.loss(h, w); }, 8);
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(cross_entropy)

BOOST_AUTO_TEST_CASE(has_the_gradients_of_the_reference) {
    for (const setting& s : settings) {
        gradients_match<float>(s);
        gradients_match<bfloat16>(s);
    }
}

BOOST_AUTO_TEST_CASE(has_the_bits_of_log_softmax_at) {
    for (setting s : settings) {
        s.smoothing = 0;
        const problem<float> p(s);
        const auto got = p.run(pali::arch::native, 2, {}, false, false);
        workplace at(1);
        for (std::size_t r = 0; r < s.count; ++r) { // each row alone, over the whole vocabulary
            floats logits(s.vocabulary);
            pali::kernels::active().product(matrix_of(p.hidden, s.width).slice(r, 1),
                                            {pali::kernels::operand{p.weights(), nullptr, matrix_of(logits, s.vocabulary)}},
                                            pali::core::pass::step, at.threads, at.scratch);
            if (s.softcap > 0) pali::kernels::active().softcap(logits.data(), logits.size(), s.softcap);
            BOOST_TEST(got.losses[r] == -pali::decoding::log_softmax_at(logits, p.targets[r]), "V " << s.vocabulary << " row " << r);
        }
    }
}

BOOST_AUTO_TEST_CASE(scales_its_gradients_by_the_factor) {
    problem<float> p(settings[5]);
    const floats zero(p.head.size());
    const auto whole = p.run(pali::arch::native, 1, zero);
    p.options.factor = 0.25f; // exact
    const auto quarter = p.run(pali::arch::native, 1, zero);
    BOOST_TEST((whole.losses == quarter.losses));
    for (std::size_t i = 0; i < whole.dh.size(); ++i) BOOST_TEST(quarter.dh[i] == whole.dh[i] / 4);
    for (std::size_t i = 0; i < zero.size(); ++i) BOOST_TEST(quarter.dhead[i] == whole.dhead[i] / 4);
}

BOOST_AUTO_TEST_SUITE_END()
