// The kernels of every compiled ISA level that this CPU supports, called as the layers call them. Compares them with the reference, and two
// threads with one.
#include "numbers.hpp"

#include <pali/arch/dispatch.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/kernels/reference.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using pali::core::rows;
namespace kernels = pali::kernels;
namespace reference = pali::kernels::reference;

/// Calls f(kernels, name) for each level.
template <class F>
void for_every_level(F f) {
    std::size_t count = 0;
    for (const pali::arch::compiled_level* one : pali::arch::compiled_levels())
        if (one->which <= highest_level(pali::arch::this_processor())) f(*one->kernels, std::string(name_of(one->which))), ++count;
    BOOST_TEST(count > 0);
}

/// Values exact in bfloat16, so rounding them makes no difference.
pali::core::aligned_vector<float> random_bfloat16(std::size_t n, unsigned seed) {
    auto x = pali::test::random(n, seed);
    for (float& value : x) value = static_cast<float>(pali::core::bfloat16(value));
    return x;
}

template <class Matrix>
pali::core::aligned_vector<float> product(const kernels::entry_points& level, const pali::core::aligned_vector<float>& x, const Matrix& w,
                                          const float* bias, std::size_t threads, pali::core::pass kind = pali::core::pass::step) {
    pali::core::thread_pool pool(threads);
    pali::core::arena scratch;
    const std::size_t T = x.size() / w.width;
    pali::core::aligned_vector<float> y(T * w.count, -1.f);
    level.product(rows<const float>(x.data(), T, w.width), {kernels::operand{w, bias, rows<float>(y.data(), T, w.count)}}, kind, pool,
                  scratch);
    return y;
}

constexpr std::size_t K = 1152, N = 104;

template <class Element>
void products_of(std::size_t T) {
    const auto x = random_bfloat16(T * K, 1), bias = pali::test::random(N, 3);
    const auto w = pali::test::random<Element>(N * K, 2);
    const rows<const Element> matrix(w.data(), N, K);
    std::vector<double> want(T * N);
    reference::matmul(rows<const float>(x.data(), T, K), matrix, bias.data(), rows<double>(want.data(), T, N));
    for_every_level([&](const auto& level, const std::string& name) {
        const auto y = product(level, x, matrix, bias.data(), 2);
        BOOST_TEST(pali::test::difference(y, want) < 2e-6, name << " T " << T);
        BOOST_TEST((y == product(level, x, matrix, bias.data(), 1)), name);
    });
}

template <std::size_t Bits>
void quantized_products_of(std::size_t T) {
    using matrix = pali::core::quantized_rows<Bits>;
    auto x = pali::test::random(T * K, 1);
    const auto bias = pali::test::random(N, 3), w = pali::test::random(N * K, 2);
    for (std::size_t at = 0; at < x.size(); at += matrix::group) { // integers with maximum 127 per group: exact in int8
        for (std::size_t i = 0; i < matrix::group; ++i) x[at + i] = std::round(x[at + i] * 127.f);
        x[at] = 127;
    }
    std::vector<std::vector<std::uint8_t>> all_codes;
    for_every_level([&](const auto& level, const std::string& name) {
        std::vector<std::uint8_t> codes(matrix::bytes_of(N * K));
        std::vector<pali::core::bfloat16> scales(N * K / matrix::group);
        for (std::size_t n = 0; n < N; n += matrix::strip)
            level.template quantize_strip<Bits>(w.data() + n * K, K, codes.data() + matrix::bytes_of(n * K),
                                                scales.data() + n * K / matrix::group);
        all_codes.push_back(codes);
        BOOST_TEST((codes == all_codes.front()), name); // the same on every CPU
        const matrix view{codes.data(), scales.data(), N, K};
        std::vector<float> values;
        for (std::size_t n = 0; n < N; ++n)
            for (std::size_t k = 0; k < K; ++k) values.push_back(static_cast<float>(view.code(n, k)) * view.scale(n, k));
        std::vector<double> want(T * N);
        reference::matmul(rows<const float>(x.data(), T, K), rows<const float>(values.data(), N, K), bias.data(),
                          rows<double>(want.data(), T, N));
        const auto y = product(level, x, view, bias.data(), 2);
        BOOST_TEST(pali::test::difference(y, want) < 2e-6, name << " T " << T);
        BOOST_TEST((y == product(level, x, view, bias.data(), 1)), name);
    });
}

template <class Element>
void attention_of(std::size_t tokens, double tolerance) {
    constexpr std::size_t heads = 4, kv_heads = 2, head_dim = 72;
    const kernels::attention_shape shape{.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = 0.125f, .softcap = 50.f};
    const auto q = random_bfloat16(tokens * heads * head_dim, 1);
    auto memory = pali::core::aligned_vector<Element>(kernels::key_values<Element>::elements(kv_heads, tokens, head_dim));
    const kernels::key_values<Element> seen{memory.data(), tokens, head_dim};
    const auto k = pali::test::random(tokens * kv_heads * head_dim, 2), v = pali::test::random(tokens * kv_heads * head_dim, 3);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t head = 0; head < kv_heads; ++head) {
            const std::size_t at = (t * kv_heads + head) * head_dim;
            seen.put(head, t, {k.data() + at, head_dim}, {v.data() + at, head_dim});
        }
    const kernels::prefix_mask mask{.prefix = tokens / 2, .window = 40};
    const std::size_t width = heads * head_dim;
    std::vector<double> want(tokens * width);
    reference::attention(shape, rows<const float>(q.data(), tokens, width), seen, mask, rows<double>(want.data(), tokens, width));
    for_every_level([&](const auto& level, const std::string& name) {
        const auto run = [&](std::size_t threads) {
            pali::core::thread_pool pool(threads);
            pali::core::arena scratch;
            pali::core::aligned_vector<float> out(tokens * width);
            level.attend(shape, rows<const float>(q.data(), tokens, width), seen, mask, rows<float>(out.data(), tokens, width),
                         pali::core::pass::prefill, pool, scratch);
            return out;
        };
        const auto out = run(2);
        double worst = 0;
        for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(out[i]) - want[i]));
        BOOST_TEST(worst < tolerance, name << " tokens " << tokens << " differ by " << worst);
        BOOST_TEST((out == run(1)), name);
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(levels)

BOOST_AUTO_TEST_CASE(products_match_the_reference) {
    for (const std::size_t T : {1u, 7u, 40u}) {
        products_of<float>(T);
        products_of<pali::core::bfloat16>(T);
    }
    for (const std::size_t T : {1u, 7u}) {
        quantized_products_of<8>(T);
        quantized_products_of<4>(T);
    }
}

BOOST_AUTO_TEST_CASE(attention_matches_the_reference) {
    for (const std::size_t tokens : {1u, 90u}) {
        attention_of<float>(tokens, 3e-6);
        attention_of<pali::core::bfloat16>(tokens,
                                           1. / 512 +
                                               1e-5); // attention weights may be rounded to bfloat16 (2^-9 relative); values are below 1
    }
}

BOOST_AUTO_TEST_CASE(rows_and_elements_match_the_reference) {
    constexpr std::size_t T = 3, D = 1155;
    const auto x = pali::test::random(T * D, 1, 5.f), scale = pali::test::random(D, 2), bias = pali::test::random(D, 3);
    const rows<const float> in(x.data(), T, D);
    std::vector<double> rms(T * D), layer(T * D), gelu, gated, capped;
    reference::rms_norm(in, scale.data(), 1e-6f, rows<double>(rms.data(), T, D));
    reference::layer_norm(in, scale.data(), bias.data(), 1e-6f, rows<double>(layer.data(), T, D));
    for (const float value : x) {
        gelu.push_back(reference::gelu(static_cast<double>(value)));
        gated.push_back(gelu.back() * static_cast<double>(value));
        capped.push_back(reference::softcap(static_cast<double>(value), 2.));
    }
    const float top = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const float value : x) sum += std::exp(static_cast<double>(value) - top);
    kernels::rope_table rope(72, 10000.f);
    rope.extend(8);
    std::vector<double> turned(x.begin(), x.begin() + 72);
    reference::rope(turned.data(), 72, 7, 10000.);
    for_every_level([&](const auto& level, const std::string& name) {
        std::vector<float> head(x.begin(), x.begin() + 72);
        level.rotate(head.data(), rope.at(7));
        BOOST_TEST(pali::test::difference(head, turned) < 2e-6, name);
        pali::core::aligned_vector<float> y(T * D);
        const rows<float> out(y.data(), T, D);
        level.rms_norm(in, scale.data(), 1e-6f, out);
        BOOST_TEST(pali::test::difference(y, rms) < 1e-6, name);
        level.layer_norm(in, scale.data(), bias.data(), 1e-6f, out);
        BOOST_TEST(pali::test::difference(y, layer) < 5e-6, name);
        y = x;
        level.gelu(y.data(), y.size());
        BOOST_TEST(pali::test::difference(y, gelu) < 1e-6, name);
        y = x;
        level.gated_gelu(y.data(), x.data(), y.size());
        BOOST_TEST(pali::test::difference(y, gated) < 1e-6, name);
        y = x;
        level.softcap(y.data(), y.size(), 2.f);
        BOOST_TEST(pali::test::difference(y, capped) < 1e-6, name);
        BOOST_TEST(level.argmax(x.data(), x.size()) == static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin()), name);
        BOOST_TEST(std::abs(level.sum_of_exp(x.data(), x.size(), top, 0) / sum - 1) < 1e-6, name);
    });
}

BOOST_AUTO_TEST_CASE(convolutions_match_the_reference) {
    for (const kernels::conv_shape& shape : {kernels::conv_shape{.in = 5, .out = 19, .side = 3},
                                             {.in = 5, .out = 19, .side = 4, .stride = 2},
                                             {.in = 5, .out = 19, .side = 4, .stride = 2, .transposed = true}}) {
        constexpr std::size_t height = 6, width = 10;
        const auto weight = pali::test::random(shape.in * shape.out * shape.side * shape.side, 1), bias = pali::test::random(shape.out, 2),
                   pixels = pali::test::random(height * width * shape.in, 3);
        pali::core::arena scratch;
        pali::core::thread_pool pool(2);
        const auto x = kernels::take_feature_map(scratch, height, width, shape.in);
        for (std::size_t y = 0; y < height; ++y) std::copy_n(pixels.data() + y * width * shape.in, width * shape.in, x.at(y, 0));
        const std::size_t rows_out = shape.size_from(height), columns_out = shape.size_from(width);
        std::vector<double> want(rows_out * columns_out * shape.out);
        reference::conv(shape, kernels::feature_map<const float>(x), weight.data(), bias.data(), want.data());
        const kernels::conv_weights packed(shape, weight.data(), bias.data());
        for_every_level([&](const auto& level, const std::string& name) {
            const auto y = kernels::take_feature_map(scratch, rows_out, columns_out, shape.out);
            level.convolve(packed, x, kernels::activation::none, y, pool);
            std::vector<float> got;
            for (std::size_t row = 0; row < rows_out; ++row) got.insert(got.end(), y.at(row, 0), y.at(row, 0) + columns_out * shape.out);
            BOOST_TEST(pali::test::difference(got, want) < 2e-6, name);
        });
    }
}

BOOST_AUTO_TEST_CASE(resampled_bytes_are_the_sums_in_fixed_point) {
    constexpr std::size_t in = 61, out = 23, height = 4;
    const auto triangle = [](double x) { return std::max(0., 1 - std::abs(x)); };
    const auto weights = kernels::make_resample_weights(in, out, 1.0, triangle);
    const kernels::rgb_weights rgb(weights);
    std::vector<std::uint8_t> image(height * in * 3 + kernels::resample_padding);
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::uint8_t>(i * 89 % 256);
    std::vector<std::uint8_t> want(out * 3), down(in * 3);
    for (std::size_t x = 0; x < out; ++x)
        for (std::size_t c = 0; c < 3; ++c) {
            std::int32_t sum = 1 << (kernels::resample_weights::precision - 1);
            for (std::size_t i = 0; i < weights.spans[x].count; ++i)
                sum += weights.weights[x * weights.taps + i] * image[(weights.spans[x].first + i) * 3 + c];
            want[x * 3 + c] = static_cast<std::uint8_t>(std::clamp(sum >> kernels::resample_weights::precision, 0, 255));
        }
    const std::int32_t quarter[height] = {1 << 20, 1 << 20, 1 << 20, 1 << 20};
    for (std::size_t i = 0; i < down.size(); ++i) {
        unsigned sum = 0;
        for (std::size_t y = 0; y < height; ++y) sum += image[y * in * 3 + i];
        down[i] = static_cast<std::uint8_t>((sum + 2) / 4);
    }
    for_every_level([&](const auto& level, const std::string& name) {
        std::vector<std::uint8_t> got(want.size()), column(down.size());
        level.resample_row(image.data(), rgb.spans(), rgb.count(), rgb.weights(), rgb.stride(), got.data());
        BOOST_TEST((got == want), name);
        level.resample_columns(image.data(), in * 3, quarter, height, column.data(), in * 3);
        BOOST_TEST((column == down), name);
    });
}

BOOST_AUTO_TEST_SUITE_END()
