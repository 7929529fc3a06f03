// The layout of keys and values in the KV cache, and copies of exactly the requested tokens.
#include <pali/core/aligned.hpp>
#include <pali/core/bfloat16.hpp>
#include <pali/kernels/attention/key_values.hpp>

#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using pali::kernels::key_values;

constexpr std::size_t heads = 3, head_dim = 18, capacity = 150; // keys are in three blocks, and rows do not fill a cache line

/// A distinct value for each head, token and position, exact in bfloat16 (8 bits).
float number(std::size_t head, std::size_t token, std::size_t d, bool value) {
    return static_cast<float>((head * 7 + token * 11 + d * 3 + value) % 251);
}

template <class Element>
struct cache {
    pali::core::aligned_vector<Element> memory =
        pali::core::aligned_vector<Element>(key_values<Element>::elements(heads, capacity, head_dim), Element(-1.f));
    key_values<Element> seen{memory.data(), capacity, head_dim};

    void fill() const {
        std::vector<float> key(head_dim), value(head_dim);
        for (std::size_t h = 0; h < heads; ++h)
            for (std::size_t t = 0; t < capacity; ++t) {
                for (std::size_t d = 0; d < head_dim; ++d) key[d] = number(h, t, d, false), value[d] = number(h, t, d, true);
                seen.put(h, t, key, value);
            }
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(keys_and_values)

using elements = boost::mpl::list<float, pali::core::bfloat16>;

BOOST_AUTO_TEST_CASE_TEMPLATE(every_number_has_a_place_of_its_own, Element, elements) {
    const cache<Element> all;
    all.fill();
    std::size_t wrong = 0;
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < capacity; ++t)
            for (std::size_t d = 0; d < head_dim; ++d)
                wrong += static_cast<float>(all.seen.key(h, t, d)) != number(h, t, d, false) ||
                         static_cast<float>(all.seen.value(h, t, d)) != number(h, t, d, true);
    BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_register_holds_neighbouring_keys_or_numbers_of_a_value, Element, elements) {
    const cache<Element> all;
    constexpr std::size_t pair = sizeof(float) / sizeof(Element);
    BOOST_TEST(&all.seen.key(1, 65, 4) - &all.seen.key(1, 64, 4) == std::ptrdiff_t(pair));
    BOOST_TEST(&all.seen.value(1, 64, 5) - &all.seen.value(1, 64, 4) == std::ptrdiff_t(pair));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(&all.seen.key(2, 64, 0)) % 64 == 0u);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(&all.seen.value(2, 2, 0)) % 64 == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_copy_takes_the_tokens_it_is_asked_for, Element, elements) {
    cache<Element> from;
    from.fill();
    for (const auto& [first, end] : {std::pair<std::size_t, std::size_t>{0, capacity}, {0, 1}, {63, 65}, {37, 149}, {64, 128}, {70, 70}}) {
        const cache<Element> to;
        for (std::size_t h = 0; h < heads; ++h) to.seen.copy_from(from.seen, h, first, end);
        std::size_t wrong = 0;
        for (std::size_t h = 0; h < heads; ++h)
            for (std::size_t t = 0; t < capacity; ++t)
                for (std::size_t d = 0; d < head_dim; ++d) {
                    const bool taken = t >= first && t < end;
                    wrong += static_cast<float>(to.seen.key(h, t, d)) != (taken ? number(h, t, d, false) : -1.f);
                    wrong += static_cast<float>(to.seen.value(h, t, d)) != (taken ? number(h, t, d, true) : -1.f);
                }
        BOOST_TEST(wrong == 0u, "tokens " << first << " to " << end);
    }
}

BOOST_AUTO_TEST_SUITE_END()
