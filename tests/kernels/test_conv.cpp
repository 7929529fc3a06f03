// Compares convolutions of every kind with the reference, for every instruction set and for odd sizes.
#include "numbers.hpp"

#include <pali/kernels/image/conv.hpp>
#include <pali/kernels/reference.hpp>

#include <ostream>
#include <vector>

namespace {

using pali::kernels::activation;
using pali::kernels::conv_shape;
using pali::kernels::feature_map;

struct problem {
    conv_shape shape;
    std::size_t height, width; // of the input

    [[nodiscard]] std::size_t outputs() const { return shape.size_from(height) * shape.size_from(width) * shape.out; }
};
std::ostream& operator<<(std::ostream& out, const problem& p) {
    return out << (p.shape.transposed ? "transposed " : "") << "side " << p.shape.side << " in " << p.shape.in << " out " << p.shape.out
               << " of " << p.height << " x " << p.width;
}

// channels: fewer than, equal to and more than a panel and a vector; images: smaller than a tile, of one row, and larger than a task
std::vector<problem> problems() {
    std::vector<problem> all;
    for (const auto& [in, out] : {std::pair<std::size_t, std::size_t>{1, 1}, {3, 5}, {16, 16}, {7, 33}, {64, 128}})
        for (const auto& [height, width] : {std::pair<std::size_t, std::size_t>{2, 2}, {4, 4}, {2, 10}, {6, 4}, {18, 22}}) {
            all.push_back({{.in = in, .out = out, .side = 1}, height, width});
            all.push_back({{.in = in, .out = out, .side = 3}, height, width});
            all.push_back({{.in = in, .out = out, .side = 4, .stride = 2}, height, width});
            all.push_back({{.in = in, .out = out, .side = 4, .stride = 2, .transposed = true}, height, width});
        }
    for (const std::size_t side : {1u, 3u}) all.push_back({{.in = 2, .out = 3, .side = side}, 1, 1});
    all.push_back({{.in = 2, .out = 3, .side = 4, .stride = 2, .transposed = true}, 1, 3});
    return all;
}

/// Random values with a border of zeros.
struct input {
    pali::core::arena memory;
    feature_map<float> map;

    explicit input(const problem& p, unsigned seed) : map(pali::kernels::take_feature_map(memory, p.height, p.width, p.shape.in)) {
        const auto values = pali::test::random(p.height * p.width * p.shape.in, seed);
        for (std::size_t y = 0; y < p.height; ++y)
            std::copy_n(values.data() + y * p.width * p.shape.in, p.width * p.shape.in, map.at(y, 0));
    }
};

/// The image without its border.
std::vector<float> inner(feature_map<const float> map) {
    std::vector<float> values;
    for (std::size_t y = 0; y < map.height; ++y) values.insert(values.end(), map.at(y, 0), map.at(y, 0) + map.width * map.channels);
    return values;
}

template <class Tag>
std::vector<float> convolved(Tag tag, const problem& p, const input& x, const float* weight, const float* bias, activation then,
                             std::size_t threads) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    const auto y = pali::kernels::take_feature_map(scratch, p.shape.size_from(p.height), p.shape.size_from(p.width), p.shape.out);
    const std::vector<float> before(y.data, y.data + y.size());
    pali::kernels::convolve(tag, pali::kernels::conv_weights(p.shape, weight, bias), x.map, then, y, pool);
    // The border must be unchanged, because only the inside is written.
    std::size_t outside = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t row = i / y.stride(), column = i % y.stride() / y.channels;
        if (row == 0 || row > y.height || column == 0 || column > y.width) outside += y.data[i] != 0 || before[i] != 0;
    }
    BOOST_TEST(outside == 0u);
    return inner(y);
}

} // namespace

BOOST_AUTO_TEST_SUITE(conv)

BOOST_AUTO_TEST_CASE(every_kind_matches_reference) {
    for (const problem& p : problems()) {
        const input x(p, 1);
        const auto weight = pali::test::random(p.shape.in * p.shape.out * p.shape.side * p.shape.side, 2);
        const auto bias = pali::test::random(p.shape.out, 3);
        std::vector<double> want(p.outputs());
        pali::kernels::reference::conv(p.shape, x.map, weight.data(), bias.data(), want.data());
        pali::test::for_every_arch([&](auto tag) { // float32 sums of up to 1024 terms
            BOOST_TEST(pali::test::difference(convolved(tag, p, x, weight.data(), bias.data(), activation::none, 2), want) < 2e-6,
                       decltype(tag)::name() << ' ' << p);
        });
        for (double& value : want) value = std::max(value, 0.0);
        BOOST_TEST(pali::test::difference(convolved(pali::arch::native, p, x, weight.data(), bias.data(), activation::relu, 1), want) <
                       2e-6,
                   "relu " << p);
    }
}

// Hand-checked values: PyTorch's layouts, and the position of the taps with padding 1.
BOOST_AUTO_TEST_CASE(taps_lie_where_pytorch_has_them) {
    const auto run = [](const conv_shape& shape, std::size_t size, const std::vector<float>& image, const std::vector<float>& weight) {
        const problem p{shape, size, size};
        input x(p, 1);
        for (std::size_t y = 0; y < size; ++y) std::copy_n(image.data() + y * size * shape.in, size * shape.in, x.map.at(y, 0));
        return convolved(pali::arch::native, p, x, weight.data(), std::vector<float>(shape.out).data(), activation::none, 1);
    };
    std::vector<float> counted(16);
    for (std::size_t i = 0; i < 16; ++i) counted[i] = static_cast<float>(i + 1);
    const std::vector<float> nine(counted.begin(), counted.begin() + 9);
    // With one pixel set, a convolution writes the mirrored kernel around it, and a transposed convolution the kernel itself.
    BOOST_TEST(run({.in = 1, .out = 1, .side = 3}, 3, {0, 0, 0, 0, 1, 0, 0, 0, 0}, nine) == (std::vector<float>{9, 8, 7, 6, 5, 4, 3, 2, 1}),
               boost::test_tools::per_element());
    BOOST_TEST(run({.in = 1, .out = 1, .side = 4, .stride = 2}, 2, {1, 0, 0, 0}, counted) == (std::vector<float>{6}),
               boost::test_tools::per_element());
    BOOST_TEST(run({.in = 1, .out = 1, .side = 4, .stride = 2}, 4, {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, counted) ==
                   (std::vector<float>{11, 9, 3, 1}),
               boost::test_tools::per_element());
    BOOST_TEST(run({.in = 1, .out = 1, .side = 4, .stride = 2, .transposed = true}, 1, {1}, counted) == (std::vector<float>{6, 7, 10, 11}),
               boost::test_tools::per_element());
    BOOST_TEST(run({.in = 1, .out = 1, .side = 4, .stride = 2, .transposed = true}, 2, {0, 0, 0, 1}, counted) ==
                   (std::vector<float>{0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11}),
               boost::test_tools::per_element());
    // weight layouts (out, in) and (in, out)
    BOOST_TEST(run({.in = 2, .out = 2, .side = 1}, 1, {1, 10}, {1, 2, 3, 4}) == (std::vector<float>{21, 43}),
               boost::test_tools::per_element());
    std::vector<float> four(64);
    for (std::size_t i = 0; i < 4; ++i) four[i * 16 + 5] = static_cast<float>(i + 1); // only tap (1, 1)
    BOOST_TEST(run({.in = 2, .out = 2, .side = 4, .stride = 2, .transposed = true}, 1, {1, 10}, four) ==
                   (std::vector<float>{31, 42, 0, 0, 0, 0, 0, 0}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(threads_change_nothing) {
    for (const problem& p : {problem{{.in = 19, .out = 50, .side = 3}, 40, 24},
                             problem{{.in = 19, .out = 50, .side = 4, .stride = 2, .transposed = true}, 40, 24}}) {
        const input x(p, 4);
        const auto weight = pali::test::random(p.shape.in * p.shape.out * p.shape.side * p.shape.side, 5);
        const auto bias = pali::test::random(p.shape.out, 6);
        const auto one = convolved(pali::arch::native, p, x, weight.data(), bias.data(), activation::relu, 1);
        for (const std::size_t threads : {2u, 3u, 5u})
            BOOST_TEST((convolved(pali::arch::native, p, x, weight.data(), bias.data(), activation::relu, threads) == one));
    }
}

// The order of a pixel's sum is the same in a full tile and in a remainder. So an image that is cut from a larger one gives the same bits.
BOOST_AUTO_TEST_CASE(a_pixel_alone_has_the_bits_it_has_among_others) {
    const problem many{{.in = 23, .out = 21, .side = 1}, 7, 9}, alone{many.shape, 1, 1};
    const input x(many, 7);
    const auto weight = pali::test::random(many.shape.in * many.shape.out, 8);
    const auto bias = pali::test::random(many.shape.out, 9);
    const auto all = convolved(pali::arch::native, many, x, weight.data(), bias.data(), activation::none, 1);
    for (std::size_t i = 0; i < 63; ++i) {
        input one(alone, 1);
        std::copy_n(x.map.at(i / 9, i % 9), many.shape.in, one.map.at(0, 0));
        const auto y = convolved(pali::arch::native, alone, one, weight.data(), bias.data(), activation::none, 1);
        BOOST_TEST((std::equal(y.begin(), y.end(), all.begin() + static_cast<std::ptrdiff_t>(i * many.shape.out))));
    }
}

BOOST_AUTO_TEST_SUITE_END()
